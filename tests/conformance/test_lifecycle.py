"""What Lightning does to a DataModule: each cause has its own name, and none is invented."""

from typing import Any

import pytest

from tests.conformance.judging import DATAMODULES, IN_PROCESS, Results
from tests.conformance.judging import judge as judge_path

ALONE = "each stage runs alone"


def judge(name: str, *selected: str, **options: Any) -> Results:
    return judge_path(f"{DATAMODULES}.lifecycle:{name}", selected or IN_PROCESS, **options)


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("NoPredictFile", "without predict: its argument predict_file=None gives no data"),
        ("NoTestFolder", "without test: its argument test_path='no/such/test.pt' gives no data"),
        ("InheritedTest", "without test: its loader hook is inherited and never works: KeyError"),
    ],
)
def test_a_stage_without_data_is_no_fault(name: str, remark: str) -> None:
    results = judge(name, ALONE)
    assert ALONE in results.holding, results
    assert remark in results[ALONE].reason


def test_a_stage_whose_data_were_forgotten_is_a_fault() -> None:
    results = judge("TestForgotten", ALONE)
    assert "'NoneType' has no len()" in results[ALONE].seen


def test_a_requested_stage_must_have_its_data() -> None:
    assert judge("NoPredictFile", ALONE, stages=("fit", "predict")).broken == {ALONE}

"""DataModules with unusual batches: rules judge them by what they mean, or not at all."""

from typing import Any

import pytest

from lightning_conformance.observations import are_positions
from tests.conformance.judging import DATAMODULES, EPOCH, IN_PROCESS, Results
from tests.conformance.judging import judge as judge_path

CLASSES = "every pass shows every class"
LAYOUT = "every batch has the same layout"
LENGTH = "the tensors of a batch have one length"
SIZES = "only the last batch is smaller"


def judge(name: str, *selected: str, **options: Any) -> Results:
    return judge_path(f"{DATAMODULES}.batches:{name}", selected or IN_PROCESS, **options)


@pytest.mark.parametrize(
    "name",
    [
        "Captions", "Detection", "Negatives", "BucketedTest", "MaskInTest",
        "WholeBatches", "WholeBatchesUnpacked", "WholeBatchesOfTwoLoaders", "WholeBatchesByIndices",
    ],
)  # fmt: skip
def test_no_rule_is_broken(name: str) -> None:
    results = judge(name)
    assert results.broken == set(), results


@pytest.mark.parametrize(
    ("name", "rule", "reason"),
    [
        ("Answers", EPOCH, "their order can't be compared"),
        ("Answers", "labels count from zero", "no labels of classes"),
        ("Views", CLASSES, "no labels of classes"),
        ("Negatives", LENGTH, "lengths (7, 12, 4), in fixed proportion"),
        ("WholeBatchesByIndices", "training sees every sample once", "can't be counted"),
    ],
)
def test_what_can_not_be_judged_is_not_a_fault(name: str, rule: str, reason: str) -> None:
    results = judge(name, rule)
    assert rule in results.not_judged
    assert reason in results[rule].reason


@pytest.mark.parametrize(
    ("name", "rule", "remark"),
    [
        ("BucketedTest", SIZES, "test has batches of [4, 2, 4, 1]"),
        ("MaskInTest", LAYOUT, "training does not have: batch 0 of pass 0 of test has torch.bool"),
    ],
)
def test_what_harms_nobody_is_a_remark(name: str, rule: str, remark: str) -> None:
    results = judge(name, rule)
    assert rule in results.holding
    assert remark in results[rule].reason


def test_rows_that_were_lost_are_no_proportion() -> None:
    assert judge("LostRows", LENGTH)[LENGTH].seen == "batches of fit have lengths (4, 3), (2, 1)"


@pytest.mark.parametrize(
    ("batches", "positions"),
    [
        ([[0, 1, 2], [0, 1]], True),
        ([[0, 3, 6], [0, 3]], True),
        ([[2, 3, 0, 1], [1, 0]], True),
        ([[0, 1, 2], [0, 2, 1]], False),
        ([[0, 0, 1], [0, 0, 1]], False),
        ([[0, 0], [0, 0]], False),
        ([[0, 1, 2]], False),
        ([], False),
    ],
)
def test_labels_that_are_positions_in_the_batch(batches: list[list[int]], positions: bool) -> None:
    assert are_positions(batches) == positions

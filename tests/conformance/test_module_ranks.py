"""Rules about two ranks: each broken module breaks its rule, and no other."""

from pathlib import Path

import pytest

from lightning_conformance.causes import RANKS
from lightning_conformance.module.observations import MODULE_FAILS
from lightning_conformance.module.test_ranks import RANKS_FAIL
from lightning_conformance.rules import FOLLOWS
from tests.conformance.judging import DATAMODULES, MODULES, judge_project

GRADIENT = "every trainable parameter gets a gradient"
FITS = "the module fits on two ranks"
WEIGHTS = "two ranks have equal weights"
METRICS = "two ranks log what one process logs"
COUNT = "the mean of uneven ranks counts every sample"
RULES = {GRADIENT, FITS, WEIGHTS, METRICS, COUNT}
BROKEN = {
    "UnusedLayer": GRADIENT,
    "OneDeviceOnly": FITS,
    "WeightsOfTheRank": WEIGHTS,
    "LogsItsRank": METRICS,
    "LogsItsRankNearly": METRICS,
    "PerplexityOfEachRank": METRICS,
}
NOT_JUDGED = {
    "LogsMetricObjects": {COUNT},
    "TwoOptimizers": {GRADIENT, COUNT},
    "WithoutEvaluation": {METRICS, COUNT},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_breaks_exactly_one_rule(name: str, tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.ranks:{name}", RULES, folder=str(tmp_path))
    assert results.broken == {BROKEN[name]}, [str(results[rule]) for rule in results.broken]


@pytest.mark.parametrize("name", NOT_JUDGED)
def test_a_conforming_module_breaks_no_rule(name: str, tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.ranks:{name}", RULES, folder=str(tmp_path))
    assert not results.broken, [str(results[rule]) for rule in results.broken]
    assert results.not_judged == NOT_JUDGED[name]


def test_layers_that_ddp_does_not_see_differ(tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.ranks:LayersInAList", RULES, folder=str(tmp_path))
    assert "of optimizer 0" in results[WEIGHTS].seen


def test_lightning_divides_by_a_wrong_count(tmp_path: Path) -> None:
    """Nine pictures are 5 and 4 on two ranks: 4.5 on average, and Lightning divides by 4."""
    results = judge_project(
        f"{MODULES}.conforming:Classifier", RULES, data=f"{DATAMODULES}.pictures:PicturesModule",
        folder=str(tmp_path),
    )  # fmt: skip
    assert results.broken == {COUNT}
    assert "the sum of 9 samples is divided by 8" in results[COUNT].seen


def test_metric_objects_count_right(tmp_path: Path) -> None:
    results = judge_project(
        f"{MODULES}.ranks:LogsMetricObjects", RULES, folder=str(tmp_path),
        data=f"{DATAMODULES}.pictures:PicturesModule",
    )  # fmt: skip
    assert results.holding == RULES


def test_without_a_fit_nothing_is_judged(tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.broken:StepFails", RULES, folder=str(tmp_path))
    assert {results[rule].reason for rule in RULES} == {MODULE_FAILS}


def test_a_datamodule_that_fails_on_ranks_is_the_cause(tmp_path: Path) -> None:
    results = judge_project(
        f"{MODULES}.conforming:Classifier", {*RULES, RANKS}, data=f"{DATAMODULES}.ranks:Raises",
        folder=str(tmp_path),
    )  # fmt: skip
    assert results.broken == {RANKS}
    assert results[FITS].reason == FOLLOWS + RANKS
    assert results[WEIGHTS].reason == RANKS_FAIL

"""Rules about evaluation: each broken module breaks its rule, and no other."""

from pathlib import Path

import pytest

from tests.conformance.judging import MODULES, judge_project

MODE = "evaluation is without dropout and batch statistics"
TWICE = "the same evaluation twice gives the same metrics"
BATCH = "evaluation does not depend on the batch size"
RULES = {MODE, TWICE, BATCH, "two ranks log what one process logs"}
BROKEN = {
    "StaysInTrainingMode": (MODE, "network.1 (BatchNorm2d)"),
    "DropoutInEvaluation": (MODE, "forward in "),
    "NeverResets": (TWICE, "val_loss: "),
    "MeanOfBatchMeans": (BATCH, "not logged in a step with the weight of the batch"),
    "MeanOfBatchMeansWithAttention": (BATCH, "not logged in a step with the weight of the batch"),
    "WrongWeight": (BATCH, "not logged in a step with the weight of the batch"),
    "F1OfBatches": (BATCH, "it is no mean over samples"),
    "SoftmaxOverSamples": (BATCH, "predict_step calls softmax over the samples of a batch"),
    "BatchStatistics": (BATCH, "the output of network.1 (BatchNorm2d)"),
}
NOT_JUDGED: dict[str, dict[str, str]] = {
    "evaluation:DictBatches": {},
    "evaluation:WithBatchNorm": {},
    "evaluation:Contrastive": {BATCH: "compares the samples of a batch with each other"},
    "evaluation:Sampling": {TWICE: "draws random numbers: _evaluate in ", BATCH: "draws random"},
    "ranks:LogsMetricObjects": {},
    "ranks:TwoOptimizers": {},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_breaks_exactly_one_rule(name: str, tmp_path: Path) -> None:
    rule, seen = BROKEN[name]
    results = judge_project(f"{MODULES}.evaluation:{name}", RULES, folder=str(tmp_path))
    assert results.broken == {rule}, [str(results[rule]) for rule in results.broken]
    assert seen in results[rule].seen


@pytest.mark.parametrize("name", NOT_JUDGED)
def test_a_conforming_module_breaks_no_rule(name: str, tmp_path: Path) -> None:
    reasons = NOT_JUDGED[name]
    results = judge_project(f"{MODULES}.{name}", {MODE, TWICE, BATCH}, folder=str(tmp_path))
    assert not results.broken, [str(results[rule]) for rule in results.broken]
    assert results.not_judged == set(reasons)
    assert all(text in results[rule].reason for rule, text in reasons.items())

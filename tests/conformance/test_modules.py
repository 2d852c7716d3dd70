"""Broken LightningModules break exactly their rules, and conforming ones break none."""

from pathlib import Path

import pytest

from tests.conformance.judging import DATAMODULES, MODULES, judge_project

COUNT = "the mean of uneven ranks counts every sample"
SEED = "the same seed gives the same weights"
VALIDATION = "validation changes no weights"
WORKERS = "the number of workers changes no weights"
RESUME = "a resumed fit ends like an undisturbed one"
WITHIN = "a fit resumed within an epoch ends like an undisturbed one"
OPTIMIZER = "every trainable parameter is in one optimizer"
FROZEN = "no optimizer changes a frozen parameter"
LOAD = "load from checkpoint needs no arguments"
LOADED = "a loaded module gives the same results"
PLAIN = "a checkpoint is read with weights only"
LOGGING = "logging changes no weights"
FIT = {VALIDATION, WORKERS, LOGGING, RESUME, WITHIN, OPTIMIZER, FROZEN, LOAD, LOADED, PLAIN}
"""Rules about a fit and its checkpoint."""
FITS, INITIALISATION = "the module fits", "another seed gives another initialisation"
SUM = ("broken:ForgetsItsSum", {WITHIN})
BROKEN: dict[str, set[str]] = {
    "DecaysInValidation": {VALIDATION},
    "DrawsForTheLogger": {LOGGING},
    "ForgetsItsCount": {RESUME},
    "ForgetsItsThreshold": {LOADED},
    "ForgottenLayer": {OPTIMIZER},
    "FreezesTooLate": {FROZEN},
    "InitialisedByProcess": {SEED},
    "needs_its_backbone": {LOAD},
    "NoiseOfTheSystem": {SEED},
    "SavesAPath": {PLAIN},
    "ScalesByWorkers": {WORKERS},
    "ShowsHarderPictures": {WORKERS},
    "SeedsItself": {INITIALISATION},
    "TwiceInOneOptimizer": {OPTIMIZER},
    "StepFails": {FITS},
}
"""By name of a module: all rules that it breaks, without those that follow from them."""


def test_a_conforming_module_breaks_none(tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.conforming:Classifier", folder=str(tmp_path))
    assert not results.broken, [str(results[name]) for name in results.broken]
    assert results.not_judged == {COUNT, WITHIN}, "even ranks, and data without a state"


def test_a_module_may_need_a_logger(tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.conforming:WritesPictures", folder=str(tmp_path))
    assert not results.broken, [str(results[name]) for name in results.broken]
    assert results.not_judged == {COUNT, LOGGING, WITHIN}
    assert results[LOGGING].reason == "no fit runs without a logger"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_module_breaks_exactly_its_rules(name: str, tmp_path: Path) -> None:
    """Rules of devices, evaluation and ranks have tests of their own."""
    selected = FIT | {FITS, SEED, INITIALISATION}
    results = judge_project(f"{MODULES}.broken:{name}", selected, folder=str(tmp_path))
    assert results.broken == BROKEN[name], [str(results[rule]) for rule in results.broken]


def test_validation_that_changes_what_training_uses_is_one_finding(tmp_path: Path) -> None:
    """Its metrics do not repeat either."""
    results = judge_project(f"{MODULES}.planted:CalibratesInValidation", folder=str(tmp_path))
    assert results.broken == {VALIDATION}, [str(results[rule]) for rule in results.broken]


@pytest.mark.parametrize(("name", "broken"), [("conforming:Classifier", set()), SUM])
def test_within_an_epoch_a_fit_is_resumed_where_the_data_can(
    name: str, broken: set[str], tmp_path: Path
) -> None:
    results = judge_project(
        f"{MODULES}.{name}", {RESUME, WITHIN}, folder=str(tmp_path),
        data=f"{DATAMODULES}.pictures:ResumablePictures",
    )  # fmt: skip
    assert results.broken == broken
    assert not results.not_judged, [str(result) for result in results.values()]


@pytest.mark.parametrize("name", ["TwoOptimizers", "LogsMetricObjects", "WithoutEvaluation"])
def test_other_kinds_of_modules_break_no_rule_of_a_fit(name: str, tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.ranks:{name}", FIT, folder=str(tmp_path))
    assert not results.broken, [str(results[rule]) for rule in results.broken]
    assert results.not_judged == {WITHIN}


@pytest.mark.parametrize(
    ("data", "needs_folder", "not_judged"),
    [
        ("pictures:SeveralLoaders", True, {WITHIN}),
        ("conforming:OnTheDevice", True, {WITHIN}),
        ("conforming:in_memory", False, {WITHIN}),
        # Lightning prefetches a batch of a resumed stream before it knows the epoch.
        ("conforming:Stream", False, {RESUME, WITHIN}),
    ],
)
def test_with_other_kinds_of_data_a_fit_breaks_no_rule(
    data: str, needs_folder: bool, not_judged: set[str], tmp_path: Path
) -> None:
    """Several loaders, batches that are mappings or named tuples, and an iterable dataset."""
    arguments = {"folder": str(tmp_path)} if needs_folder else {}
    path = f"{MODULES}.conforming:AnyBatch"
    results = judge_project(path, FIT, data=f"{DATAMODULES}.{data}", **arguments)
    assert not results.broken, [str(results[rule]) for rule in results.broken]
    assert results.not_judged == not_judged

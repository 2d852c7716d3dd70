"""Broken LightningModules break exactly their rules, and conforming ones break none."""

from pathlib import Path

import pytest

from tests.conformance.judging import MODULES, judge_project

COUNT = "the mean of uneven ranks counts every sample"
SEED = "the same seed gives the same weights"
VALIDATION = "validation changes no weights"
WORKERS = "the number of workers changes no weights"
LOGGING = "logging changes no weights"
BROKEN: dict[str, set[str]] = {
    "DecaysInValidation": {VALIDATION},
    "DrawsForTheLogger": {LOGGING},
    "InitialisedByProcess": {SEED},
    "NoiseOfTheSystem": {SEED},
    "ScalesByWorkers": {WORKERS},
    "ShowsHarderPictures": {WORKERS},
    "SeedsItself": {"another seed gives another initialisation"},
    "StepFails": {"the module fits"},
}
"""By name of a module: all rules that it breaks, without those that follow from them."""


def test_a_conforming_module_breaks_none(tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.conforming:Classifier", folder=str(tmp_path))
    assert not results.broken, [str(results[name]) for name in results.broken]
    assert results.not_judged == {COUNT}, "it has equally many samples on two ranks"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_module_breaks_exactly_its_rules(name: str, tmp_path: Path) -> None:
    results = judge_project(f"{MODULES}.broken:{name}", folder=str(tmp_path))
    assert results.broken == BROKEN[name], [str(results[rule]) for rule in results.broken]

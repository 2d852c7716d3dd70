"""What Lightning does to a DataModule: each cause has its own name, and none is invented."""

from typing import Any

import pytest

from lightning_conformance.observations import NO_TRAINING_DATA
from lightning_conformance.sets import makes_sets
from tests.conformance.datamodules import lifecycle
from tests.conformance.judging import (
    DATAMODULES,
    DRAWS,
    FRESH,
    HOOKS,
    IN_PROCESS,
    RELOAD,
    RESUME,
    WORKERS,
    Results,
)
from tests.conformance.judging import judge as judge_path
from tests.conformance.modules import planted

ALONE = "each stage runs alone"
FIT = "a plain fit runs"
NEEDS = "setup prepares only what its stage needs"


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


def test_a_datamodule_without_training_data_is_not_judged() -> None:
    rules = {FIT, "prepare data can run again", "the same seed gives the same batches", DRAWS}
    results = judge("NoTrainingFile", *rules)
    assert results.not_judged == rules
    assert {result.reason for result in results.values()} == {NO_TRAINING_DATA}
    assert judge("NoTrainingFile", FIT, stages=("fit",)).broken == {FIT}
    assert judge("NoTrainingTransform", FIT).broken == {FIT}


def test_a_wrapped_loader_of_nothing_is_no_training_loader() -> None:
    assert NEEDS in judge("WrappedLoaderOfNothing", NEEDS).holding


@pytest.mark.parametrize("name", ["OneStore", "drawn"])
def test_an_object_is_freed_before_the_next_is_made(name: str) -> None:
    """A store that a process opens once is open as long as its DataModule lives."""
    results = judge(name)
    assert results.broken == set(), results


def test_draws_of_the_function_that_makes_it_are_not_those_of_the_constructor() -> None:
    assert HOOKS in judge("drawn", HOOKS).holding
    results = judge("drawn_and_seeded", HOOKS)
    assert results[HOOKS].seen == "__init__ seeds the global generator of numpy, or draws from it"


@pytest.mark.slow
def test_a_state_that_comes_too_late_is_named() -> None:
    seen = judge("StateComesLate", RESUME)[RESUME].seen
    assert seen.endswith("load_state_dict comes too late: Lightning calls it after setup")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("NoisyStream", {DRAWS, WORKERS}),
        ("CopiedGenerator", {DRAWS, WORKERS, RELOAD}),
        ("ShufflesInPlace", {DRAWS, WORKERS, RELOAD}),
    ],
)
def test_draws_explain_only_what_steady_draws_mend(name: str, broken: set[str]) -> None:
    results = judge(name, *IN_PROCESS, RESUME)
    assert results.broken == broken, results
    cause = DRAWS if name == "NoisyStream" else RELOAD
    assert results[RESUME].reason == f"follows from a broken rule: {cause}"


@pytest.mark.slow
def test_the_order_of_a_small_set_is_tried_with_a_third_hash_seed() -> None:
    assert judge("TwoNamesInASet", FRESH).broken == {FRESH}


def test_sets_are_seen_in_all_modules_of_the_project() -> None:
    """Those of the kit and of installed packages do not count."""
    assert makes_sets(lifecycle.__name__)
    assert not makes_sets(planted.__name__)

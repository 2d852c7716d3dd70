"""DataModules of unusual kinds: sentences, graphs, streams and other loaders."""

from typing import Any

import pytest

from tests.conformance.judging import (
    ALL,
    DATAMODULES,
    DRAWS,
    EPOCH,
    HOOKS,
    IN_PROCESS,
    PREPARED,
    RELOAD,
    RESUME,
    SHARE,
    WORKERS,
    Results,
)
from tests.conformance.judging import judge as judge_path

ALONE = "each stage runs alone"
DISJOINT = "splits are disjoint"
EVALUATED = "evaluation sees every sample"
FIT = "a plain fit runs"
LAYOUT = "every batch has the same layout"
NEEDS = "setup prepares only what its stage needs"
REPEATS = "evaluation repeats"
SEED = "another seed gives another order"
TRAINED = "training sees every sample once"
VALIDATION = "validation changes nothing"
FOLLOWS = f"follows from a broken rule: {DRAWS}"


def judge(name: str, *selected: str, **options: Any) -> Results:
    return judge_path(f"{DATAMODULES}.others:{name}", selected or IN_PROCESS, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["SentencesModule", "GraphsModule", "GeneratorInTheState"],
)
def test_a_conforming_datamodule_breaks_no_rule(name: str) -> None:
    results = judge(name, *ALL)
    assert results.broken == set(), results
    assert RESUME in results.holding


@pytest.mark.parametrize(
    ("name", "selected", "broken"),
    [
        ("Shuffled", IN_PROCESS, DRAWS),
        ("GeneratorPerLoader", IN_PROCESS | {RESUME}, RELOAD),
        ("PairsNotInTheState", IN_PROCESS | {RESUME}, RESUME),
        ("StreamOfDraws", IN_PROCESS | {RESUME}, {DRAWS, WORKERS}),  # each worker reads it all
        ("SeededInWorkers", IN_PROCESS, WORKERS),
        ("RedrawnAndOverlappingSplits", IN_PROCESS, {HOOKS, DISJOINT}),
        ("TwoTrainingLoaders", IN_PROCESS, set()),
        ("OneGraph", IN_PROCESS, set()),
        ("BatchesOfFunctions", IN_PROCESS, set()),
        ("Shuffled", {RESUME, EPOCH}, RESUME),  # its cause is not judged
        ("LoaderDependsOnWorkers", {WORKERS}, WORKERS),
        ("BatchSizeDependsOnWorkers", {WORKERS}, WORKERS),
        ("RequiresWorkers", {WORKERS}, set()),
        ("SetupPreparesIfNeeded", {PREPARED}, set()),
        ("StreamsForAllStages", {NEEDS}, NEEDS),
        ("WithReplacement", {SHARE}, set()),
        ("LoaderOfNothing", {NEEDS}, set()),
        ("TornDown", {"its state is plain", RESUME}, set()),
        ("Exits", IN_PROCESS, FIT),
        ("PredictsOnRequest", {ALONE}, set()),
        ("PredictionNeverWorks", {ALONE}, ALONE),
    ],
)
def test_each_cause_is_one_finding(name: str, selected: set[str], broken: str | set[str]) -> None:
    results = judge(name, *selected)
    assert results.broken == ({broken} if isinstance(broken, str) else broken), results
    if not broken and len(selected) < 3:
        assert results.holding == selected, results


@pytest.mark.parametrize(
    ("name", "rule", "reason"),
    [
        ("LoaderOfAnotherClass", WORKERS, "its training loader is not a DataLoader"),
        ("BatchesOfFunctions", DRAWS, "contains no tensor, string or number"),
        ("OneGraph", SEED, "by chance"),
        ("OneGraph", EPOCH, "by chance"),
        ("OneGraph", DISJOINT, "each split is one graph"),
        ("StreamOfDraws", EVALUATED, "can be counted"),
        ("StreamOfDraws", TRAINED, "can't be counted"),
        ("TestsOnAll", NEEDS, "includes all training samples"),
        ("NumbersTheMembers", EPOCH, "their order can't be compared"),
        ("NumbersTheMembers", "every pass shows every class", "no labels of classes"),
        ("Shuffled", "labels count from zero", "no labels"),
        ("Shuffled", "every pass shows every class", "no labels"),
        ("SentencesModule", "augmentation differs between epochs", "nothing is random"),
    ],
)
def test_a_rule_that_can_not_be_judged_says_why(name: str, rule: str, reason: str) -> None:
    results = judge(name, rule)
    assert reason in results[rule].reason, results


@pytest.mark.parametrize(
    ("name", "rule", "seen"),
    [
        ("SeededInWorkers", WORKERS, "are equal with its own workers, and differ with 0"),
        ("SeedsLikeTheProcess", HOOKS, "__init__ seeds the global generator of numpy"),
        ("TestsOnAll", REPEATS, "test alone and after a fit: the same samples in another order"),
    ],
)
def test_a_broken_rule_says_what_was_seen(name: str, rule: str, seen: str) -> None:
    assert seen in judge(name, rule)[rule].seen


@pytest.mark.slow
def test_data_without_an_end_are_cut() -> None:
    results = judge("Endless", WORKERS, SHARE, FIT, ALONE)
    assert results.broken == set(), results
    assert "has no end" in results[SHARE].reason


def test_random_batches_leave_rules_about_one_fit_to_judge() -> None:
    results = judge("ShuffledByTheSystem")
    assert results.broken == {"the same seed gives the same batches"}
    assert "lightning alone calls the hooks" in results.holding


@pytest.mark.slow
def test_a_rule_that_follows_from_a_cause_names_it() -> None:
    results = judge("Shuffled", DRAWS, RESUME)
    assert results[RESUME].reason == FOLLOWS
    results = judge("ChecksDatasetClass", DRAWS, VALIDATION, RESUME)
    assert results.broken == {DRAWS}
    assert results[VALIDATION].reason == FOLLOWS


def test_a_test_that_needs_a_fit_is_judged_after_one() -> None:
    results = judge("SetupForTestNeedsFit", NEEDS, EVALUATED, ALONE)
    assert "test does not run alone" in results[NEEDS].reason
    assert EVALUATED in results.holding
    assert results.broken == {ALONE}


@pytest.mark.parametrize("name", ["SentencesModule", "PredictsOnRequest"])
def test_requested_stages_must_run(name: str) -> None:
    assert ALONE in judge(name, ALONE, stages=("fit",)).holding
    assert judge(name, ALONE, stages=("fit", "predict")).broken == {ALONE}


def test_a_requested_kind_is_used() -> None:
    assert judge("SentencesModule", LAYOUT, kind="table").broken == {LAYOUT}

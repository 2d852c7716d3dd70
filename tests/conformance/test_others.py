"""Verdicts on DataModules of other kinds: no false alarm, and nothing passes unseen."""

import pytest

from tests.conformance.test_conformance import RESUME, judge

OTHERS = "tests.conformance.datamodules.others:"
FOLLOWS = "follows from a broken rule: draws of the model change nothing"


@pytest.mark.parametrize(
    "name",
    [
        "SentencesModule", "SentencesWithLengths", "GraphsModule", "MoleculesModule",
        "PackedModule", "SceneModule", "GeneratorInTheState",
    ],
)  # fmt: skip
def test_what_conforms_breaks_nothing(name: str) -> None:
    verdicts = judge(OTHERS + name)
    assert verdicts.outcomes["failed"] == set(), verdicts.texts
    assert RESUME in verdicts.outcomes["passed"]


def test_data_without_an_end_is_cut() -> None:
    verdicts = judge(f"{OTHERS}Endless", "-k", "workers or share_an_epoch or plain_fit or stage")
    assert verdicts.outcomes["failed"] == set(), verdicts.texts
    assert "has no end" in verdicts.texts["two_ranks_share_an_epoch"]


def test_one_cause_is_one_finding_and_what_follows_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdicts = judge(f"{OTHERS}Shuffled", "-k", "not two_ranks")
    assert verdicts.outcomes["failed"] == {"draws_of_the_model_change_nothing"}
    assert FOLLOWS in verdicts.texts[RESUME]
    summary = " ".join(capsys.readouterr().out.rpartition("follows from a broken rule")[2].split())
    assert summary.startswith(": draws of the model change nothing: ")
    assert "a resumed run goes on in its epoch" in summary


def test_data_drawn_in_the_constructor_are_one_finding() -> None:
    verdicts = judge(f"{OTHERS}DrawnInTheConstructor", "-m", "not slow")
    assert verdicts.outcomes["failed"] == {"hooks_leave_the_global_generators_alone"}


def test_what_follows_fails_where_its_cause_is_not_judged() -> None:
    verdicts = judge(f"{OTHERS}Shuffled", "-k", "resumed or epoch_has_its")
    assert verdicts.outcomes["failed"] == {RESUME}


def test_nothing_is_taken_for_the_same_unseen() -> None:
    verdicts = judge(f"{OTHERS}ShuffledByTheSystem", "-m", "not slow")
    assert verdicts.outcomes["failed"] == {"the_same_seed_gives_the_same_batches"}
    # Of one fit alone, and so judged whether or not another is equal.
    assert "lightning_alone_calls_the_hooks" in verdicts.outcomes["passed"]
    verdicts = judge(f"{OTHERS}HidesItsTensors", "-m", "not slow")
    assert verdicts.outcomes["failed"] == set()
    rule = "draws_of_the_model_change_nothing"
    assert "no tensor, text or number was found" in verdicts.texts[rule]


def test_a_number_of_workers_that_can_not_be_chosen_is_not_judged() -> None:
    rule = "workers_change_nothing"
    verdicts = judge(f"{OTHERS}OwnLoader", "-k", rule)
    assert "its training loader is no DataLoader" in verdicts.texts[rule]
    assert judge(f"{OTHERS}OwnLoaderByWorkers", "-k", rule).outcomes["failed"] == {rule}


def test_what_else_is_made_of_the_number_of_workers_counts() -> None:
    rule = "workers_change_nothing"
    assert judge(f"{OTHERS}BatchesByWorkers", "-k", rule).outcomes["failed"] == {rule}
    assert judge(f"{OTHERS}WorkersForGood", "-k", rule).outcomes["passed"] == {rule}


def test_what_can_be_repeated_with_its_own_workers_alone_is_one_finding() -> None:
    rule = "workers_change_nothing"
    verdicts = judge(f"{OTHERS}SeededInWorkers", "-m", "not slow")
    assert verdicts.outcomes["failed"] == {rule}
    assert "are equal with its own workers, and differ with 0" in verdicts.texts[rule]


@pytest.mark.parametrize("name", ["OneGraph", "FewOfOneOrder"])
def test_what_is_the_same_by_chance_or_by_nature_is_not_judged(name: str) -> None:
    verdicts = judge(OTHERS + name, "-m", "not slow")
    assert verdicts.outcomes["failed"] == set(), verdicts.texts
    for rule in ("another_seed_gives_another_order", "each_epoch_has_its_own_order"):
        assert "by chance" in verdicts.texts[rule]


def test_a_splits_whole_graph_is_not_judged_for_what_is_in_it() -> None:
    rule = "splits_are_disjoint"
    assert "each split is one graph" in judge(f"{OTHERS}OneGraph", "-k", rule).texts[rule]


def test_pieces_of_one_scene_are_not_counted() -> None:
    verdicts = judge(f"{OTHERS}SceneModule", "-k", "every_sample")
    assert "counted" in verdicts.texts["evaluation_sees_every_sample"]
    assert "counted" in verdicts.texts["training_sees_every_sample_once"]


def test_a_loader_that_refuses_is_no_stage_and_one_that_fails_is_broken() -> None:
    rule = "each_stage_runs_alone"
    refuses = judge(f"{OTHERS}PredictsOnRequest", "-k", rule)
    assert refuses.outcomes["passed"] == {rule}, refuses.texts
    named = judge(f"{OTHERS}PredictsOnRequest", "-k", rule, "--datamodule-stages", "fit,predict")
    assert named.outcomes["failed"] == {rule}
    assert judge(f"{OTHERS}ForgetsItsPrediction", "-k", rule).outcomes["failed"] == {rule}


def test_loaders_side_by_side_keep_their_samples() -> None:
    verdicts = judge(f"{OTHERS}LoadersSideBySide", "-m", "not slow")
    assert verdicts.outcomes["failed"] == set(), verdicts.texts


def test_a_generator_of_the_loaders_own_is_one_finding() -> None:
    verdicts = judge(f"{OTHERS}GeneratorOfTheLoader", "-k", "not two_ranks")
    assert verdicts.outcomes["failed"] == {"loaders_can_be_asked_for_again"}, verdicts.texts


def test_a_generator_of_the_datasets_own_is_named_where_it_matters() -> None:
    verdicts = judge(f"{OTHERS}PairsDrawnAnew", "-k", "not two_ranks")
    assert verdicts.outcomes["failed"] == {RESUME}, verdicts.texts


def test_a_stream_of_draws_is_one_finding() -> None:
    verdicts = judge(f"{OTHERS}StreamOfDraws", "-k", "not two_ranks")
    assert verdicts.outcomes["failed"] == {"draws_of_the_model_change_nothing"}, verdicts.texts


def test_a_loader_that_knows_its_datasets_class_is_judged_as_others_are() -> None:
    verdicts = judge(f"{OTHERS}AsksForItsDataset", "-k", "draws or validation_changes or resumed")
    assert verdicts.outcomes["failed"] == {"draws_of_the_model_change_nothing"}
    assert FOLLOWS in verdicts.texts["validation_changes_nothing"]
    verdicts = judge(f"{OTHERS}CountsAndAsksForItsDataset", "-k", "draws or resumed or again")
    assert verdicts.outcomes["failed"] == {"draws_of_the_model_change_nothing", RESUME}


def test_hooks_that_seed_as_the_process_was_seeded_are_seen() -> None:
    rule = "hooks_leave_the_global_generators_alone"
    verdicts = judge(f"{OTHERS}SeedsAsTheProcess", "-k", rule)
    assert "__init__ seeds the global generator of numpy" in verdicts.texts[rule]


def test_splits_that_share_samples_however_they_are_drawn_are_a_finding_of_their_own() -> None:
    rules = {"hooks_leave_the_global_generators_alone", "splits_are_disjoint"}
    verdicts = judge(f"{OTHERS}SplitAnewAndOverlapping", "-m", "not slow")
    assert verdicts.outcomes["failed"] == rules, verdicts.texts


def test_a_setup_that_prepares_where_it_must_needs_nothing_of_another_object() -> None:
    rule = "setup_needs_nothing_that_prepare_data_left_on_the_object"
    assert judge(f"{OTHERS}PreparesWhereItMust", "-k", rule).outcomes["passed"] == {rule}


def test_what_a_test_stage_needs_is_judged_where_it_runs_and_needs_less() -> None:
    rule = "setup_prepares_only_what_its_stage_needs"
    verdicts = judge(f"{OTHERS}RefusesToBeSetUpForATest", "-k", f"{rule} or every_sample or alone")
    assert "test does not run alone" in verdicts.texts[rule]
    assert "evaluation_sees_every_sample" in verdicts.outcomes["passed"]
    assert verdicts.outcomes["failed"] == {"each_stage_runs_alone"}
    assert judge(f"{OTHERS}StreamsForAllStages", "-k", rule).outcomes["failed"] == {rule}
    assert "the samples of training too" in judge(f"{OTHERS}TestsOnAll", "-k", rule).texts[rule]


def test_a_test_in_any_order_does_not_repeat() -> None:
    rule = "evaluation_repeats"
    verdicts = judge(f"{OTHERS}TestsOnAll", "-k", rule)
    assert "test alone and after a fit: the same samples in another order" in verdicts.texts[rule]


def test_what_has_no_labels_is_not_judged_for_them() -> None:
    verdicts = judge(f"{OTHERS}Unlabelled", "-k", "labels or class")
    for rule in ("labels_count_from_zero", "every_pass_shows_every_class"):
        assert "labels were not found" in verdicts.texts[rule]


def test_a_sampler_may_be_the_split() -> None:
    verdicts = judge(f"{OTHERS}SplitBySampler", "-k", "every_sample")
    assert verdicts.outcomes["failed"] == set(), verdicts.texts
    assert len(verdicts.outcomes["passed"]) == 2


def test_a_loader_may_be_its_own_iterator() -> None:
    rule = "a_plain_fit_runs"
    assert judge(f"{OTHERS}LoaderIsItsIterator", "-k", rule).outcomes["passed"] == {rule}


@pytest.mark.slow
def test_what_an_epoch_repeats_may_be_on_both_ranks() -> None:
    rule = "two_ranks_share_an_epoch"
    verdicts = judge(f"{OTHERS}WithReplacement", "-k", rule)
    assert verdicts.outcomes["passed"] == {rule}, verdicts.texts


def test_the_stages_to_judge_can_be_named() -> None:
    rule = "each_stage_runs_alone"
    path = f"{OTHERS}SentencesModule"
    assert rule in judge(path, "-k", rule, "--datamodule-stages", "fit").outcomes["passed"]
    named = judge(path, "-k", rule, "--datamodule-stages", "fit,predict")
    assert named.outcomes["failed"] == {rule}


def test_unaugmented_samples_are_not_judged_for_augmentation() -> None:
    rule = "augmentation_differs_between_epochs"
    verdicts = judge(f"{OTHERS}SentencesModule", "-k", rule)
    assert "nothing is random" in verdicts.texts[rule]


def test_a_kind_that_is_named_counts() -> None:
    rule = "every_batch_has_the_same_layout"
    options = ["-k", rule, "--datamodule-kind", "table"]
    assert judge(f"{OTHERS}SentencesModule", *options).outcomes["failed"] == {rule}

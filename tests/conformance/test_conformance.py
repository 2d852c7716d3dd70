"""The conformance kit finds what is wrong with broken DataModules, nothing with good ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.common.formatting import table
from datamodule_conformance.rules import rules
from tests import REPOSITORY
from tests.conformance.datamodules import broken
from tests.conformance.datamodules.pictures import PicturesModule
from tests.support.fixtures import LAUNCHERS, launch
from tests.support.forked_python import python

# The kit marks the whole package for pytest's assertions, which were imported long before.
QUIET = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
# The outer pytest looks after unraisable exceptions; each inner one would also collect garbage
# twice, which takes as long as the rules do.
KIT = [
    "--pyargs", "datamodule_conformance", "-p", "no:cacheprovider",
    "-p", "no:unraisableexception", "-W", QUIET,
]  # fmt: skip
HOOKS = "hooks_leave_the_global_generators_alone"
DRAWS = "draws_of_the_model_change_nothing"
RELOAD = "loaders_can_be_asked_for_again"
RESUME = "a_resumed_run_goes_on_in_its_epoch"
SECOND = "a_second_fit_sees_what_the_first_saw"

BROKEN: dict[str, set[str]] = {
    "StateSetInPrepareData": {"setup_needs_nothing_that_prepare_data_left_on_the_object"},
    "DefaultChangedInPrepareData": {"setup_needs_nothing_that_prepare_data_left_on_the_object"},
    "SplitWithoutGenerator": {HOOKS},
    "IgnoredStage": {"setup_prepares_only_what_its_stage_needs"},
    "TestNeedsFit": {"each_stage_runs_alone"},
    "SetupWithoutStage": {"setup_and_teardown_take_the_stage"},
    "SetupFails": {"a_plain_fit_runs"},
    "PrepareDataOnlyOnce": {"prepare_data_can_run_again"},
    "PrepareDataAppends": {"prepare_data_can_run_again"},
    "PrepareDataCalledInSetup": {"lightning_alone_calls_the_hooks"},
    "SplitDrawnWithTheLoader": {HOOKS, RELOAD},
    "LoaderRebuiltAtEachAccess": {"each_epoch_has_its_own_order"},
    "CountsEpochsByItself": {RESUME, SECOND},
    "LeftOpenByAnError": {"it_works_again_after_an_error"},
    "LambdaInInit": {"it_can_be_pickled"},
    "PathInState": {"its_state_is_plain"},
    "OtherSizeInEvaluation": {"every_batch_has_the_same_layout"},
    "LabelsOfOtherLength": {"the_tensors_of_a_batch_have_one_length"},
    "BatchesOfAnySize": {"only_the_last_batch_is_smaller"},
    "RawPixels": {"images_are_finite_and_scaled"},
    "DividedByZero": {"images_are_finite_and_scaled"},
    "LabelsFromOne": {"labels_count_from_zero"},
    "DropLastLosesAClass": {"evaluation_sees_every_sample"},
    "SampledWithReplacement": {"training_sees_every_sample_once"},
    "SeededByTheClock": {"the_same_seed_gives_the_same_batches"},
    "SeedForgotten": {"another_seed_gives_another_order"},
    "SameAugmentationEachEpoch": {"augmentation_differs_between_epochs"},
    "ValidationShuffles": {"evaluation_repeats"},
    "GlobalGeneratorInTheDataset": {DRAWS},
    "ShuffledWithWorkerAugmentation": {DRAWS},
    "ChangedByReading": {"reading_a_sample_changes_nothing"},
    "ValidationMovesTheOrder": {RELOAD},
    "SplitGeneratorRunsOn": {"each_setup_makes_the_same_split"},
    "SeedsInTheConstructor": {HOOKS},
    "SeedsTheGlobalGenerator": {"loading_leaves_the_global_generators_alone"},
    "AugmentedByWorker": {"workers_change_nothing"},
    "ValidationIsCounted": {"validation_changes_nothing"},
    "SeedsInTheOrderOfAsking": {"the_sanity_check_changes_nothing"},
    "TestLacksAClass": {"every_pass_shows_every_class"},
    "TestOverlapsValidation": {"splits_are_disjoint"},
    "NeverShuffledNorLabelled": {"each_epoch_has_its_own_order"},
    "GeneratorNotInTheState": {RESUME},
    "CountsAndDraws": {DRAWS, RESUME, SECOND},
}  # fmt: skip
"""All rules that each one breaks, but for what follows from them, and no other."""

BROKEN_APART = {
    "ClassesFromASet": "a_fresh_process_sees_the_same",
    "ClassesAsListed": "a_fresh_process_sees_the_same",
    "EveryRankTheWhole": "two_ranks_share_an_epoch",
    "PrepareDataCalledInSetup": "two_ranks_prepare_once_and_set_up_twice",
}
"""Rules about processes, each alone."""
ONE_PROCESS = ("-k", "not two_ranks")
"""Without those."""


class Verdicts:
    """A plugin that keeps each rule's outcome."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.outcomes: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.split("::")[-1].removeprefix("test_")
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome].add(name)
            self.texts[name] = str(report.longrepr)


def judge(path: str, *options: str) -> Verdicts:
    """The kit's verdicts, from pytest in this process."""
    verdicts = Verdicts()
    pytest.main([*KIT, "--datamodule", path, *options], plugins=[verdicts])
    assert any(verdicts.outcomes.values()), "no rule ran"
    return verdicts


@pytest.mark.parametrize(("name", "expected"), BROKEN.items(), ids=BROKEN)
def test_what_is_broken_breaks_its_rules_alone(
    tmp_path: Path, name: str, expected: set[str]
) -> None:
    options = ["--datamodule-arg", f"folder={tmp_path}", *ONE_PROCESS]
    verdicts = judge(f"tests.conformance.datamodules.broken:{name}", *options)
    assert verdicts.outcomes["failed"] == expected
    for rule in expected:
        parts = [verdicts.texts[rule].count(f"\n  {part}  ") for part in ("seen", "why ", "fix ")]
        assert parts == [1, 1, 1]
        assert verdicts.texts[rule].startswith(rule.replace("_", " "))
        assert "/datamodule_conformance/" not in verdicts.texts[rule]


def test_what_is_not_plain_is_named(tmp_path: Path) -> None:
    options = ["--datamodule-arg", f"folder={tmp_path}", "-k", "state_is_plain"]
    verdicts = judge("tests.conformance.datamodules.broken:PathInState", *options)
    assert "a checkpoint with pathlib" in verdicts.texts["its_state_is_plain"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), BROKEN_APART.items(), ids=BROKEN_APART)
def test_what_is_broken_between_processes(tmp_path: Path, name: str, expected: str) -> None:
    options = ["--datamodule-arg", f"folder={tmp_path}", "-k", expected]
    verdicts = judge(f"tests.conformance.datamodules.broken:{name}", *options)
    assert verdicts.outcomes["failed"] == {expected}


def test_each_rule_is_broken_by_something_and_nothing_is_forgotten() -> None:
    kinds = {
        name for name, kind in vars(broken).items()
        if isinstance(kind, type) and issubclass(kind, PicturesModule)
    }  # fmt: skip
    assert kinds - {"PicturesModule"} == BROKEN.keys() | BROKEN_APART.keys()
    found = set(BROKEN_APART.values()).union(*BROKEN.values())
    assert found == {rule.name.replace(" ", "_") for rule in rules()}


# What does not apply to each style, and every other rule holds.
CONFORMING = {
    "tests.conformance.datamodules.conforming:OnTheDevice": set(),
    "tests.conformance.datamodules.conforming:in_memory": {
        "setup_prepares_only_what_its_stage_needs", "splits_are_disjoint"
    },
    "tests.conformance.datamodules.conforming:Stream": {
        "setup_prepares_only_what_its_stage_needs", "evaluation_sees_every_sample",
        "training_sees_every_sample_once", "splits_are_disjoint",
        "reading_a_sample_changes_nothing",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launchers_processes_are_none_of_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    """In a job of two processes a good DataModule stays one."""
    launch(launcher, monkeypatch)
    rules = "prepare or stage or share or plain"
    options = ["--datamodule-arg", f"folder={tmp_path}", "-k", rules]
    verdicts = judge("tests.conformance.datamodules.pictures:PicturesModule", *options)
    assert verdicts.outcomes["failed"] | verdicts.outcomes["skipped"] == set(), verdicts.texts


def test_the_one_that_the_broken_ones_derive_from_conforms(tmp_path: Path) -> None:
    options = ["--datamodule-arg", f"folder={tmp_path}", "-m", "not slow"]
    verdicts = judge("tests.conformance.datamodules.pictures:PicturesModule", *options)
    assert verdicts.outcomes["failed"] | verdicts.outcomes["skipped"] == set()


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFORMING)
def test_what_conforms_in_another_style_stays_green(tmp_path: Path, path: str) -> None:
    files = ["--datamodule-arg", f"folder={tmp_path}"] if path.endswith("OnTheDevice") else []
    verdicts = judge(path, *files)
    assert verdicts.outcomes["failed"] == set(), verdicts.texts
    assert verdicts.outcomes["skipped"] == CONFORMING[path]


@pytest.mark.slow
def test_this_projects_datamodule_keeps_every_rule(images: Path, tmp_path: Path) -> None:
    arguments = (f"root={images}", f"cache_dir={tmp_path}", "image_size=32", "batch_size=4")
    options = [option for text in arguments for option in ("--datamodule-arg", text)]
    program = Path(sys.executable).parent / "pytest"
    done = subprocess.run(
        [python(), program, "--pyargs", "datamodule_conformance", "-p", "no:cacheprovider",
         "--datamodule", "benchmark.data.datamodule:ImageDataModule", *options],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"{len(rules())} rules hold, 0 broken, 0 not judged" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "which DataModule?"),
        (("--datamodule", "nowhere:Data"), "--datamodule nowhere:Data was not found"),
        (("--datamodule", "pathlib:Path"), "pathlib:Path makes a PosixPath"),
        (("--datamodule", "tests.conformance.datamodules.broken:RawPixels"), "missing 1 required"),
        (
            (
                "--datamodule",
                "tests.conformance.datamodules.broken:RawPixels",
                "--datamodule-arg",
                "folder",
            ),
            "--datamodule-arg folder has no value",
        ),
    ],
)
def test_what_can_not_be_made_is_one_clear_message(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pytest.main([*KIT, *options]) == pytest.ExitCode.USAGE_ERROR
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err + printed.out


def test_without_augmentation_samples_must_stay_the_same(tmp_path: Path) -> None:
    rule = "augmentation_differs_between_epochs"
    for name, outcome in (("SameAugmentationEachEpoch", "passed"), ("RawPixels", "failed")):
        options = ["--datamodule-arg", f"folder={tmp_path}", "--datamodule-unaugmented"]
        path = f"tests.conformance.datamodules.broken:{name}"
        assert rule in judge(path, *options, "-k", rule).outcomes[outcome]


def test_the_table_of_rules_is_in_the_documentation() -> None:
    rows = [[rule.name, rule.why, f"`{rule.test.split('.')[-1]}`"] for rule in rules()]
    text = (REPOSITORY / "docs/conformance.md").read_text()
    assert table(["Rule", "Why it matters", "Test"], rows) in text

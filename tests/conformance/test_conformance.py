"""Broken DataModules break exactly their rules, and conforming ones break none."""

from pathlib import Path

import pytest

from benchmark.common.formatting import table
from lightning_conformance.rules import rules
from tests import REPOSITORY
from tests.conformance.datamodules import broken
from tests.conformance.datamodules.pictures import PicturesModule
from tests.conformance.judging import (
    ALL,
    DATAMODULES,
    DRAWS,
    EPOCH,
    FRESH,
    HOOKS,
    IN_PROCESS,
    PREPARED,
    RELOAD,
    RESUME,
    SECOND,
    SHARE,
    TWO_RANKS,
    WORKERS,
    judge,
)
from tests.support.fixtures import LAUNCHERS, launch

BROKEN: dict[str, set[str]] = {
    "StateSetInPrepareData": {PREPARED},
    "DefaultChangedInPrepareData": {PREPARED},
    "SplitWithoutGenerator": {HOOKS},
    "IgnoredStage": {"setup prepares only what its stage needs"},
    "TestNeedsFit": {"each stage runs alone"},
    "SetupWithoutStage": {"setup and teardown take the stage"},
    "SetupFails": {"a plain fit runs"},
    "PrepareDataOnlyOnce": {"prepare data can run again"},
    "PrepareDataAppends": {"prepare data can run again"},
    "PrepareDataCalledInSetup": {"lightning alone calls the hooks", TWO_RANKS},
    "SplitDrawnWithTheLoader": {HOOKS, RELOAD},
    "LoaderRebuiltAtEachAccess": {EPOCH},
    "CountsEpochsItself": {RESUME, SECOND},
    "FileStaysOpenAfterError": {"it works again after an error"},
    "LambdaInInit": {"it can be pickled"},
    "PathInState": {"its state is plain"},
    "OtherSizeInEvaluation": {"every batch has the same layout"},
    "LabelsOfOtherLength": {"the tensors of a batch have one length"},
    "BatchesOfAnySize": {"only the last batch is smaller"},
    "RawPixels": {"images are finite and scaled"},
    "DividedByZero": {"images are finite and scaled"},
    "LabelsFromOne": {"labels count from zero"},
    "DropLastLosesAClass": {"evaluation sees every sample"},
    "SampledWithReplacement": {"training sees every sample once"},
    "SeededByTheClock": {"the same seed gives the same batches"},
    "SeedForgotten": {"another seed gives another order"},
    "SameAugmentationEachEpoch": {"augmentation differs between epochs"},
    "ValidationShuffles": {"evaluation repeats"},
    "ShuffledWithWorkerAugmentation": {DRAWS},
    "ChangedByReading": {"reading a sample changes nothing"},
    "ValidationAdvancesSampler": {RELOAD},
    "SplitGeneratorNotReset": {"each setup makes the same split"},
    "SeedsTheGlobalGenerator": {"loading leaves the global generators alone"},
    "AugmentedByWorker": {WORKERS},
    "ValidationIsCounted": {"validation changes nothing"},
    "SeedsLoadersInCallOrder": {"the sanity check changes nothing"},
    "TestLacksAClass": {"every pass shows every class"},
    "TestOverlapsValidation": {"splits are disjoint"},
    "NotShuffledNotLabelled": {EPOCH},
    "GeneratorNotInTheState": {RESUME},
    "CountsAndDraws": {DRAWS, RESUME, SECOND},
    "FilesFromASet": {FRESH},
    "ClassesInListingOrder": {FRESH},
    "AllSamplesOnEachRank": {SHARE},
}
"""By name of a DataModule: all rules that it breaks, without those that follow from them."""
RESUME_FOLLOWS = {
    "ShuffledWithWorkerAugmentation", "PathInState",
    "ChangedByReading", "ValidationIsCounted",
}  # fmt: skip
"""DataModules that can't resume because of the rule that they break."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_datamodule_breaks_exactly_its_rules(tmp_path: Path, name: str) -> None:
    selected = IN_PROCESS | BROKEN[name] | ({RESUME} if name in RESUME_FOLLOWS else set())
    results = judge(f"{DATAMODULES}.broken:{name}", selected, folder=str(tmp_path))
    assert results.broken == BROKEN[name]
    for rule in results.broken:
        assert "/lightning_conformance/" not in results[rule].seen
    if name in RESUME_FOLLOWS:
        assert results[RESUME].reason.startswith("follows from a broken rule: ")


def test_each_rule_is_broken_by_a_datamodule() -> None:
    kinds = {
        name for name, kind in vars(broken).items()
        if isinstance(kind, type) and issubclass(kind, PicturesModule)
    }  # fmt: skip
    assert kinds - {"PicturesModule"} == BROKEN.keys()
    assert set().union(*BROKEN.values()) == ALL


def test_a_type_that_is_not_plain_is_named(tmp_path: Path) -> None:
    rule = "its state is plain"
    results = judge(f"{DATAMODULES}.broken:PathInState", {rule}, folder=str(tmp_path))
    assert "a checkpoint with pathlib" in results[rule].seen


CONFORMING = {
    "pictures:PicturesModule": set(),
    "conforming:OnTheDevice": set(),
    "conforming:in_memory": {"setup prepares only what its stage needs", "splits are disjoint"},
    "conforming:Stream": {
        "setup prepares only what its stage needs", "evaluation sees every sample",
        "training sees every sample once", "splits are disjoint",
        "reading a sample changes nothing",
    },
}  # fmt: skip
"""By DataModule: the rules that can't be judged. No rule is broken."""


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFORMING)
def test_a_conforming_datamodule_breaks_no_rule(tmp_path: Path, path: str) -> None:
    takes_folder = path.endswith((":OnTheDevice", ":PicturesModule"))
    arguments = {"folder": str(tmp_path)} if takes_folder else {}
    results = judge(f"{DATAMODULES}.{path}", ALL, **arguments)
    assert results.broken == set(), results
    assert results.not_judged == CONFORMING[path]


@pytest.mark.slow
def test_the_benchmarks_datamodule_keeps_every_rule(images: Path, tmp_path: Path) -> None:
    arguments = {"root": str(images), "cache_dir": str(tmp_path), "image_size": 32, "batch_size": 4}
    results = judge("benchmark.data.datamodule:ImageDataModule", ALL, **arguments)
    assert results.holding == ALL, results


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launchers_other_processes_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    """In a job of two processes, a conforming DataModule runs in one."""
    launch(launcher, monkeypatch)
    selected = {TWO_RANKS, SHARE, PREPARED, "each stage runs alone", "its state is plain"}
    results = judge(f"{DATAMODULES}.pictures:PicturesModule", selected, folder=str(tmp_path))
    assert results.holding == selected, results


def test_without_augmentation_samples_must_stay_the_same(tmp_path: Path) -> None:
    rule = "augmentation differs between epochs"
    for name, broken_rules in (("SameAugmentationEachEpoch", set()), ("RawPixels", {rule})):
        path = f"{DATAMODULES}.broken:{name}"
        results = judge(path, {rule}, augmented=False, folder=str(tmp_path))
        assert results.broken == broken_rules


def test_the_table_of_rules_is_in_the_documentation() -> None:
    rows = [[rule.name, rule.why, f"`{rule.location}`"] for rule in rules()]
    text = (REPOSITORY / "docs/conformance.md").read_text()
    assert table(["Rule", "Why it matters", "Test"], rows) in text

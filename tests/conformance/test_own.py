"""The benchmark's own LightningModule and DataModule are judged like anybody's."""

from pathlib import Path

import pytest

from tests.conformance.judging import MODULES, judge_project

LOAD = "load from checkpoint needs no arguments"


@pytest.mark.slow
def test_the_benchmarks_module_breaks_only_what_it_means_to(images: Path, tmp_path: Path) -> None:
    """A FineTuner is made from params.yaml, which its checkpoints do not contain."""
    results = judge_project(
        f"{MODULES}.own:make_fine_tuner", data="benchmark.data.datamodule:ImageDataModule",
        root=str(images), cache_dir=str(tmp_path), image_size=32, batch_size=4,
    )  # fmt: skip
    assert results.broken == {LOAD}, [str(results[name]) for name in results.broken]

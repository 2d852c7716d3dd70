"""The measurement of a first run: what is measured, on photographs that are made for it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests import PARAMETERS
from tests.first_run import fidelity, photographs
from tests.first_run.measuring import empty_directory, first_run
from tests.first_run.steps import marks, take

COUNT = 2 * photographs.CLASSES * 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of made photographs, whose spectra are small to save time."""
    root = tmp_path_factory.mktemp("photographs")
    for number, path in zip(range(COUNT), photographs.names(root), strict=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        photographs.make((96, 96), number, path)
    return root


@pytest.fixture(scope="module", autouse=True)
def small_fields() -> Iterator[None]:
    """Use fields of 128 x 128 values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "SIDE", 128)
        for cached in (photographs.field, photographs.noise):
            cached.cache_clear()
        yield
        for cached in (photographs.field, photographs.noise):
            cached.cache_clear()


def test_photographs_differ_and_fill_all_splits(folder: Path) -> None:
    paths = sorted(folder.glob("*/*/*.jpg"))
    assert len({path.read_bytes() for path in paths}) == len(paths) == COUNT
    sizes = {split: len([*folder.glob(f"{split}/*/*")]) for split in ("train", "val", "test")}
    assert sizes == {"train": COUNT * 8 // 10, "val": COUNT // 10, "test": COUNT // 10}


def test_photographs_are_smooth_as_those_of_a_camera(folder: Path) -> None:
    """Neighbours resemble each other, and distant pixels do not."""
    with Image.open(next(folder.glob("train/*/*.jpg"))) as image:
        grey = np.asarray(image.convert("L"), float)
    near, far = (np.abs(grey[:, shift:] - grey[:, :-shift]).mean() for shift in (1, 40))
    assert near < far / 2


def test_every_step_of_a_first_run_is_timed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    content = yaml.safe_load(PARAMETERS.read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with empty_directory(tmp_path, folder, image_size=64) as directory:
        run = first_run(tmp_path, directory, folder, epochs=2)
        assert [*directory.glob(".cache/*/pixels.npy")], "the cache is not where it is measured"
    steps = ("check", "imports", "cache", "first batch")
    assert sum(run[step] for step in steps) == pytest.approx(run["all"])
    assert run["epoch 1"] > run["all"] > 0 < run["processor"]


def test_a_number_of_epochs_of_0_is_the_first_batch_only() -> None:
    taken: list[int] = []
    marks.clear()
    take([1, 2], 0, taken.append)
    assert (taken, [*marks]) == ([1], ["first batch"])
    take([1, 2], 2, taken.append)
    assert (taken, [*marks]) == ([1, 1, 2, 1, 2], ["first batch", "epoch 1", "epoch 2"])


def test_fidelity_is_of_the_pixels_that_are_stored(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(fidelity, "LONG", 1600)
    monkeypatch.setattr(fidelity, "SHORT", 1200)
    path = next(folder.glob("train/*/*.jpg"))
    assert fidelity.psnr(16, 0, path) > 40
    exact = fidelity.read_pixels
    monkeypatch.setattr(fidelity, "read_pixels", lambda *of: 255 - exact(*of))
    assert fidelity.psnr(16, 0, path) < 20

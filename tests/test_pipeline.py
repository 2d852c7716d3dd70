"""The pipeline as DVC runs it, and the files that it stands on."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import yaml
from PIL import Image

from benchmark.dataset import read_pin
from benchmark.files import read_json
from benchmark.noise import stream
from benchmark.parameters import load_parameters
from benchmark.sources import sources
from benchmark.species import SPECIES, draw_species
from benchmark.synthetic import draw_image, encode
from tests.conftest import REPOSITORY, write_images

PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
REMOTE = REPOSITORY / ".dvc/remote/files/md5"


@pytest.mark.parametrize("stage", ["train", "throughput", "report"])
def test_a_stage_depends_on_the_code_that_it_runs(stage: str) -> None:
    declared = {d for d in PIPELINE["stages"][stage]["deps"] if d.endswith(".py")}
    assert declared == {f"benchmark/{path.name}" for path in sources(stage)}


def test_declared_parameters_exist() -> None:
    content = load_parameters(REPOSITORY / "params.yaml").model_dump()
    for stage in PIPELINE["stages"].values():
        for name in stage.get("params", []):
            value = content
            for part in name.split("."):
                value = value[part]


@pytest.mark.parametrize("stage", ["environment", "train", "throughput"])
def test_stages_run_once_for_each_accelerator(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    assert declared["matrix"] == {"accelerator": "${accelerators}"}
    assert declared["cmd"] == f"python -m benchmark {stage} ${{item.accelerator}}"


def remote_objects() -> list[Path]:
    return [path for path in REMOTE.rglob("*") if path.is_file()]


def test_the_remotes_objects_are_what_their_names_say() -> None:
    """DVC's `verify` refuses a corrupt object without naming it; this names it."""
    objects = remote_objects()
    assert objects
    for path in objects:
        name = path.parent.name + path.name.removesuffix(".dir")
        assert hashlib.md5(path.read_bytes()).hexdigest() == name, path


def test_the_bundled_dataset_is_small_and_whole() -> None:
    pin = read_pin(REPOSITORY / "data.dvc")
    assert pin["nfiles"] == len(SPECIES) * 30
    sizes = np.array([path.stat().st_size for path in remote_objects() if path.suffix != ".dir"])
    assert sizes.sum() == pin["size"] < 45e6
    assert 20e3 < sizes.mean() < 28e3


def bundled() -> dict[str, Path]:
    """Each bundled image's path in the dataset, and the object that holds it."""
    pin = read_pin(REPOSITORY / "data.dvc")["md5"]
    listing = read_json_list(REMOTE / pin[:2] / pin[2:])
    return {entry["relpath"]: REMOTE / entry["md5"][:2] / entry["md5"][2:] for entry in listing}


def read_json_list(path: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = yaml.safe_load(path.read_text())
    return entries


def locked_version(package: str) -> str:
    lock = (REPOSITORY / "requirements.lock").read_text()
    found = re.search(rf"^{package}==(\S+)", lock, re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.parametrize("name", ["monarch", SPECIES[0], SPECIES[-1]])
@pytest.mark.parametrize(("split", "number"), [("train", 3), ("val", 0), ("test", 4)])
def test_bundled_images_are_what_the_generator_draws(name: str, split: str, number: int) -> None:
    """The same bytes with the locked Pillow on the kind of processor they were drawn on."""
    species = draw_species(f"target/{name}")
    random = stream("image", 0, species.key, split, number)
    drawn = encode(draw_image(species, random), random)
    path = bundled()[f"{split}/{name}/{number:02}.jpg"]
    if PIL.__version__ == locked_version("pillow") and os.uname().machine == "x86_64":
        assert drawn == path.read_bytes()
    else:
        import io

        pictures = [Image.open(file) for file in (path, io.BytesIO(drawn))]
        difference = np.subtract(*(np.asarray(picture, dtype=float) for picture in pictures))
        assert np.abs(difference).mean() < 2


def test_colour_alone_does_not_tell_the_species_apart() -> None:
    """Nearest neighbour by colour histogram (512 bins, square roots): at most 35 % right."""
    images = bundled()
    features = {split: _histograms(images, split) for split in ("train", "test")}
    (train, labels), (test, truth) = features["train"], features["test"]
    nearest = [((train - one) ** 2).sum(axis=1).argmin() for one in test]
    assert np.mean([labels[i] == label for i, label in zip(nearest, truth, strict=True)]) <= 0.35


def _histograms(images: dict[str, Path], split: str) -> tuple[np.ndarray, list[str]]:
    chosen = sorted(name for name in images if name.startswith(f"{split}/"))
    rows = []
    for name in chosen:
        bins = np.asarray(Image.open(images[name]).convert("RGB")) // 32
        codes = bins.astype(int) @ [64, 8, 1]
        rows.append(np.sqrt(np.bincount(codes.ravel(), minlength=512) / codes.size))
    return np.stack(rows), [name.split("/")[1] for name in chosen]


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """DVC, with this Python first on the PATH for the stages' own commands."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with this pipeline over a small dataset of its own."""
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", root], check=True)
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, root)
    shutil.copytree(REPOSITORY / "benchmark", root / "benchmark")
    (root / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc/config", root / ".dvc")
    write_images(root / "data")
    assert dvc(root, "add", "--quiet", "data").returncode == 0
    assert dvc(root, "push", "--quiet").returncode == 0
    return root


def test_the_dataset_stage_brings_the_images_and_records_them(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / ".dvc/cache")
    done = dvc(repository, "repro", "dataset")
    assert done.returncode == 0, done.stderr
    recorded = read_json(repository / "reports/dataset.json")
    assert recorded == read_pin(repository / "data.dvc") | {
        "classes": 3,
        "images": {"train": 15, "val": 6, "test": 6},
    }


def test_an_edited_image_is_refused_by_name_and_nothing_is_pinned_anew(repository: Path) -> None:
    pin = (repository / "data.dvc").read_bytes()
    edited = repository / "data/train/class 1/003.png"
    edited.unlink()
    edited.write_bytes(b"edited")
    done = dvc(repository, "repro", "dataset")
    assert done.returncode != 0
    named = "The images are not those that data.dvc pins: data/train/class 1/003.png. To use"
    assert named in done.stderr
    assert edited.read_bytes() == b"edited"
    assert (repository / "data.dvc").read_bytes() == pin


def test_a_corrupt_remote_object_is_refused(repository: Path) -> None:
    """`verify = true` in .dvc/config: without it DVC takes what it gets."""
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / ".dvc/cache")
    victim = next(path for path in (repository / ".dvc/remote").rglob("*") if path.is_file())
    victim.chmod(0o644)
    victim.write_bytes(b"corrupt")
    done = dvc(repository, "repro", "dataset")
    assert done.returncode != 0
    assert "error: The images are not those that data.dvc pins" in done.stderr


def test_a_deleted_image_is_brought_back(repository: Path) -> None:
    deleted = repository / "data/train/class 1/003.png"
    content = deleted.read_bytes()
    deleted.unlink()
    assert dvc(repository, "repro", "dataset").returncode == 0
    assert deleted.read_bytes() == content


def test_nothing_in_the_repository_names_a_machine_or_an_index() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    words = re.compile(
        "|".join(("pypi" + r"\.org", "/" + "root/", "/" + "home/", "index" + "-url "))
    )
    for name in filter(None, listing.stdout.split("\0")):
        path = REPOSITORY / name
        if not name.startswith(".dvc/remote") and path.is_file():
            assert not words.search(path.read_text(encoding="utf-8", errors="replace")), name

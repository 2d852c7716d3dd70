"""The bundled images and weights: they are what their pins and their generator say."""

import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

from benchmark.common import tensor_digests
from benchmark.common.files import read_json
from benchmark.pipeline.dataset import read_pin
from benchmark.training.networks import build
from provenance.noise import stream
from provenance.pretrain import RECIPE
from provenance.species import SPECIES, draw_species
from provenance.synthetic import draw_image, encode
from provenance.synthetic import sources as source_collection
from tests import REPOSITORY

BUNDLED = {
    "data": "5106bb2cfd05250792b34679ecb4d56c.dir",
    "weights": "f830aaba4fece38700e5ae756611da20.dir",
}
"""The md5 of the listings that the repository's pins name."""
REMOTE = REPOSITORY / ".dvc/remote/files/md5"


def remote_objects() -> list[Path]:
    return [path for path in REMOTE.rglob("*") if path.is_file()]


def test_the_remotes_objects_are_what_their_names_say() -> None:
    """DVC's `verify` refuses a corrupt object without naming it; this names it."""
    objects = remote_objects()
    assert objects
    for path in objects:
        name = path.parent.name + path.name.removesuffix(".dir")
        assert hashlib.md5(path.read_bytes()).hexdigest() == name, path


def test_the_bundled_dataset_is_small_and_complete() -> None:
    pin = bundled_pin("data")
    assert pin["nfiles"] == len(SPECIES) * 30
    sizes = np.array([path.stat().st_size for path in bundled().values()])
    assert sizes.sum() == pin["size"] < 45e6
    assert 20e3 < sizes.mean() < 28e3


def test_the_remote_holds_what_is_pinned_and_nothing_else() -> None:
    pinned = set(bundled().values()) | set(bundled("weights").values())
    assert {path for path in remote_objects() if path.suffix != ".dir"} == pinned


def test_the_bundled_weights_are_small_and_those_of_their_card() -> None:
    files = bundled("weights")
    assert set(files) == {"source.safetensors", "source.json"}
    assert files["source.safetensors"].stat().st_size < 50e6
    card, state = read_json(files["source.json"]), load_file(files["source.safetensors"])
    assert card["digest"] == tensor_digests.state_digest(state)
    assert card["recipe"] == RECIPE.model_dump(mode="json", exclude={"seed"})
    assert card["seed"] == RECIPE.seed
    images = RECIPE.species * RECIPE.images_per_species
    assert card["images_seen"] == images * RECIPE.epochs
    network = build("resnet50", 50, 7, 64)
    keys = network.load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["fc.weight", "fc.bias"], [])


def test_source_species_are_none_of_the_targets() -> None:
    keys = source_collection(RECIPE.species, 1, 48).keys
    sources_drawn = {repr(vars(draw_species(key)) | {"key": ""}) for key in keys}
    targets_drawn = {repr(vars(draw_species(f"target/{n}")) | {"key": ""}) for n in SPECIES}
    assert len(sources_drawn) == RECIPE.species
    assert not sources_drawn & targets_drawn


def bundled_pin(name: str) -> dict[str, Any]:
    """Read the pin of the bundled images or weights; skip if the user has pinned others."""
    path = REPOSITORY / f"{name}.dvc"
    if not path.is_file():
        pytest.skip(f"{path.name} does not exist: the bundled {name} are not pinned")
    pin = read_pin(path)
    if pin["md5"] != BUNDLED[name]:
        pytest.skip(f"{path.name} pins others than the bundled {name}")
    return pin


def bundled(name: str = "data") -> dict[str, Path]:
    """Map each pinned file's path in its directory to the object that contains it."""
    pin = bundled_pin(name)["md5"]
    listing: list[dict[str, str]] = yaml.safe_load((REMOTE / pin[:2] / pin[2:]).read_text())
    return {entry["relpath"]: REMOTE / entry["md5"][:2] / entry["md5"][2:] for entry in listing}


def locked_version(package: str) -> str:
    lock = (REPOSITORY / "requirements.lock").read_text()
    version = re.search(rf"^{package}==(\S+)", lock, re.MULTILINE)
    assert version
    return version[1]


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
        pictures = [Image.open(file) for file in (path, io.BytesIO(drawn))]
        difference = np.subtract(*(np.asarray(picture, dtype=float) for picture in pictures))
        assert np.abs(difference).mean() < 2


def test_colour_alone_does_not_distinguish_the_species() -> None:
    """Nearest neighbour by colour histogram (512 bins, square roots): at most 35 % right."""
    images = bundled()
    features = {split: _histograms(images, split) for split in ("train", "test")}
    (train, labels), (test, truth) = features["train"], features["test"]
    nearest = [((train - one) ** 2).sum(axis=1).argmin() for one in test]
    assert np.mean([labels[i] == label for i, label in zip(nearest, truth, strict=True)]) <= 0.35


def _histograms(images: dict[str, Path], split: str) -> tuple[np.ndarray, list[str]]:
    names = sorted(name for name in images if name.startswith(f"{split}/"))
    rows = []
    for name in names:
        bins = np.asarray(Image.open(images[name]).convert("RGB")) // 32
        codes = bins.astype(int) @ [64, 8, 1]
        rows.append(np.sqrt(np.bincount(codes.ravel(), minlength=512) / codes.size))
    return np.stack(rows), [name.split("/")[1] for name in names]

"""The drawn butterflies: equal bytes everywhere, and species that differ."""

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmark.errors.user_error import UserError
from provenance.noise import stream
from provenance.species import SPECIES, draw_species
from provenance.synthetic import Collection, draw_image, encode, synthesise
from provenance.wings import textures
from tests import REPOSITORY


def photograph(species: str = "monarch", seed: int = 0, number: int = 0) -> bytes:
    rng = stream(seed, number)
    return encode(draw_image(draw_species(f"target/{species}"), rng, 64), rng)


def test_same_arguments_give_same_bytes_also_in_a_fresh_process():
    script = (
        "from tests.provenance.test_synthetic import photograph; import hashlib; "
        "print(hashlib.sha256(photograph()).hexdigest())"
    )
    fresh = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert photograph() == photograph()
    assert fresh.stdout.strip() == hashlib.sha256(photograph()).hexdigest()


def test_an_image_does_not_depend_on_what_was_drawn_before():
    alone = photograph()
    np.random.default_rng(1).random()
    photograph("peacock")
    draw_species.cache_clear()
    textures.cache_clear()
    assert photograph() == alone


@pytest.mark.parametrize("change", [{"seed": 1}, {"number": 1}, {"species": "viceroy"}])
def test_another_seed_number_or_species_gives_another_image(change):
    assert photograph(**change) != photograph()


@pytest.mark.parametrize("size", [48, 80, 97, 224])
def test_images_are_square_rgb_bytes_of_a_photograph_contrast(size):
    image = draw_image(draw_species("source/3"), stream("size"), size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert np.ptp(image) > 100


def canonical(name: str) -> np.ndarray:
    """Every wing's texture, (4, 48, 48, 4), premultiplied, from 0 to 1."""
    drawn = textures(draw_species(f"target/{name}"), 48)
    wings = [np.asarray(image, np.float64) / 255 for part, image in drawn.items() if part != "body"]
    return np.stack([wing * wing[..., 3:] for wing in wings])


def test_species_differ_from_one_another_in_shape_and_in_pattern():
    wings = {name: canonical(name) for name in SPECIES}
    for one, other in itertools.combinations(wings.values(), 2):
        shape = np.abs(one[..., 3] - other[..., 3]).mean() / one[..., 3].mean()
        both = np.minimum(one[..., 3], other[..., 3]) > 0.9
        # Light and dark alone, each wing at its own mean: what is left of a pattern without hue.
        greys = [w[..., :3].mean(-1)[both] for w in (one, other)]
        pattern = np.std((greys[0] - greys[0].mean()) - (greys[1] - greys[1].mean()))
        assert shape > 0.03
        assert pattern > 0.06


def test_upper_side_and_underside_differ():
    for name in SPECIES:
        wings = canonical(name)
        shift = np.abs(wings[::2] - wings[1::2])[..., :3].mean(axis=(1, 2, 3))
        assert min(shift / wings[::2, ..., 3].mean(axis=(1, 2))) > 0.02


FEW = Collection(("target/monarch", "target/viceroy"), (("train", 2), ("test", 1)), 64)


def test_synthesise_writes_each_split_of_each_species(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    synthesise(root, 0, FEW)
    written = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
    assert written == [
        f"{split}/{name}/{number:02}.jpg"
        for split, count in (("test", 1), ("train", 2))
        for name in ("monarch", "viceroy")
        for number in range(count)
    ]
    assert len({path.read_bytes() for path in root.rglob("*.jpg")}) == len(written)
    assert list(tmp_path.iterdir()) == [root]


def test_synthesise_refuses_a_directory_that_is_not_empty(tmp_path):
    (tmp_path / "kept").write_text("precious")
    with pytest.raises(UserError, match=str(tmp_path)):
        synthesise(tmp_path, 0, FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_failed_synthesis_leaves_nothing(tmp_path):
    twice = Collection(("target/monarch", "target/monarch"), FEW.counts, 64)
    with pytest.raises(FileExistsError):
        synthesise(tmp_path / "data", 0, twice)
    assert list(tmp_path.iterdir()) == []

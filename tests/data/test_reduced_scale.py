"""A JPEG that is stored much smaller than it is decodes at a reduced scale, to nearly the same."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.audit.duplicates import TOLERANCE
from benchmark.data.cache import DecodeCache
from benchmark.data.decoding import fit, load, read_header, read_pixels
from benchmark.data.examination import examine
from benchmark.data.folder import scan
from tests.support.fixtures import write_images

STORED = (45, 60)


def scene(width: int = 800, height: int = 600) -> Image.Image:
    """Draw shapes and a gradient, with noise of a few levels as cameras have."""
    y, x = np.mgrid[:height, :width]
    layers = [
        120 + 90 * np.sin(x / 97 + y / 61), 255 * ((x - 400) ** 2 + (y - 250) ** 2 < 160**2),
        y * 255 // height,
    ]  # fmt: skip
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 1))
    return Image.fromarray(np.clip(np.stack(layers, -1) + noise, 0, 255).astype(np.uint8))


def jpeg(path: Path, image: Image.Image | None = None, **options: Any) -> Path:
    image = image or scene()
    image.save(path, options.pop("form", "JPEG"), **{"quality": 90, **options})
    return path


def ycck(path: Path) -> Path:
    """Write a JPEG of four channels that says that they are YCCK."""
    jpeg(path, scene().convert("CMYK"))
    content = path.read_bytes()
    start = content.index(b"Adobe") + 11
    path.write_bytes(content[:start] + b"\2" + content[start + 1 :])
    return path


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


KINDS: dict[str, Any] = {
    "rgb": jpeg,
    "4:4:4": lambda path: jpeg(path, subsampling=0),
    "progressive": lambda path: jpeg(path, progressive=True),
    "grey": lambda path: jpeg(path, scene().convert("L")),
    "cmyk": lambda path: jpeg(path, scene().convert("CMYK")),
    "ycck": ycck,
    "phone": lambda path: jpeg(path, form="MPO", save_all=True, append_images=[scene(80, 60)]),
    **{
        f"orientation {number}": lambda path, number=number: jpeg(path, exif=turned(number))
        for number in range(1, 9)
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_stored_pixels_are_nearly_those_of_a_full_decode(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    KINDS[kind](path)
    stored = STORED[::-1] if read_header(path).height > 600 else STORED
    full, pixels = fit(load(path), stored, None), read_pixels(path, stored)
    assert full.shape == pixels.shape
    assert (full != pixels).any()  # another scale
    error = np.mean((full.astype(float) - pixels) ** 2)
    assert 10 * np.log10(255**2 / error) > 40


@pytest.mark.parametrize("kind", KINDS)
def test_the_facts_of_a_reduced_scale_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    KINDS[kind](path)
    (full, _), (reduced, _) = examine(path), examine(path, path.read_bytes(), STORED)
    assert (full.height, full.width) == read_header(path)[:2]
    assert full._replace(pixels="", thumbnail="") == reduced._replace(thumbnail="", reduced="")
    colours = (np.frombuffer(bytes.fromhex(f.thumbnail), np.uint8) for f in (full, reduced))
    assert np.abs(np.subtract(*(c.astype(int) for c in colours))).max() <= TOLERANCE / 2


@pytest.mark.parametrize("side", [*range(60, 70), 83, 84, 85, 100, 167, 168, 300])
def test_a_reduced_image_is_never_smaller_than_what_is_stored(tmp_path: Path, side: int) -> None:
    path = jpeg(tmp_path / "photo.jpg", scene(4 * side, 3 * side + 1))
    for sides in ((60, 60), (59, 61)):
        decoded = load(path, stored=sides)
        assert isinstance(decoded, Image.Image)
        assert decoded.height >= min(3 * side + 1, 1.4 * sides[0])
        assert decoded.width >= min(4 * side, 1.4 * sides[1])


def test_images_that_are_stored_as_they_are_keep_their_bits(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "photo.jpg")
    for stored in ((600, 800), (500, 700)):
        np.testing.assert_array_equal(read_pixels(path, stored), fit(load(path), stored, None))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 8}])
def test_a_file_cut_off_anywhere_is_damaged_at_any_scale(tmp_path: Path, options: Any) -> None:
    path = jpeg(tmp_path / "photo.jpg", **options)
    content = path.read_bytes()
    for tenth in range(1, 10):
        path.write_bytes(content[: len(content) * tenth // 10])
        for stored in (None, STORED, (200, 300)):
            assert examine(path, None, stored)[0].problem == "damaged image"


def test_flipped_bytes_that_a_full_decode_notices_are_noticed_at_any_scale(tmp_path: Path) -> None:
    path, random = tmp_path / "photo.jpg", np.random.default_rng(0)
    noticed = 0
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 8}):
        content = jpeg(path, scene(400, 300), **options).read_bytes()
        for place in random.integers(2, len(content), 150):
            flipped = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
            full, *reduced = (
                examine(path, flipped, stored)[0].problem for stored in (None, (30, 40), (90, 120))
            )
            assert set(reduced) == {full}, (options, place)
            noticed += bool(full)
    assert noticed > 5


def test_images_decoded_for_each_batch_have_the_pixels_of_the_cache(tmp_path: Path) -> None:
    root = write_images(tmp_path / "data", shape=(300, 400))
    jpeg(root / "train/class 0/photo.jpg")
    small, large = (DecodeCache(scan(root), 8, tmp_path / ".cache", limit) for limit in (0, 1))
    for cache in (small, large):
        cache.prepare()
    positions = np.arange(len(small.files.paths))
    np.testing.assert_array_equal(small.open().take(positions), large.open().take(positions))


DECODE = """
import hashlib, io, sys
from PIL import Image
content = sys.stdin.buffer.read()
for scale in (1, 2, 4, 8):
    image = Image.open(io.BytesIO(content))
    image.draft(None, (image.width // scale, image.height // scale))
    print(hashlib.sha256(image.tobytes()).hexdigest()[:16])
"""
"""A script that decodes a JPEG from stdin at each scale, and prints digests of the pixels."""


@pytest.mark.parametrize("instructions", ["", "JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
def test_pixels_are_the_same_with_any_instructions_of_the_processor(instructions: str) -> None:
    """libjpeg-turbo reads the variables. An ARM processor compares its NEON code by this test."""
    y, x = np.mgrid[:480, :640]
    pixels = np.stack([x * y // 7 % 256, (x * x + 3 * y) // 11 % 256, (x ^ y) % 256], -1)
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=90)
    content = stream.getvalue()
    assert hashlib.sha256(content).hexdigest()[:16] == "ef61230deed867b3"
    done = subprocess.run(
        [sys.executable, "-c", DECODE], input=content, stdout=subprocess.PIPE, check=True,
        env={**os.environ, **({instructions: "1"} if instructions else {})},
    )  # fmt: skip
    assert done.stdout.decode().split() == [
        "17482d05a6871f56", "4446b7ce173b141b", "ebf5889c86e16a4c", "2a49704df6e768d5"
    ]  # fmt: skip

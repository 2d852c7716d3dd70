"""Any folder and any image file is read, or refused in one line."""

import io
import json
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.audit.problems import KINDS
from benchmark.data.decoding import read_header, read_pixels
from benchmark.data.examination import examine
from benchmark.data.folder import SPLITS, scan
from benchmark.errors.user_error import UserError, explain_system_errors
from tests import PARAMETERS
from tests.support.outcome import is_one_line, outcome, time_limit

pytestmark = pytest.mark.fuzz
PIXELS = 2**20
"""Pillow's limit, which allows twice as many, set so low that images are read fast."""
ROOM = 5 * 2**30
"""Bytes on top of what the tests use. If a file declares a length of 4 GiB, that is allocated at
once, though only what can be read is used."""


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def bind(path: Path) -> None:
    """A socket's path is limited to a hundred bytes; a file name can have more."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        Path(folder, "s").rename(path)


def picture(path: Path) -> bytes:
    """Make a picture in a colour that depends on `path`, so that no two are equal."""
    return encoded(Image.new("RGB", (64, 64), crc32(os.fsencode(path)) % 2**24), "PNG")


ENTRIES: dict[str, Callable[[Path], object]] = {
    "image": lambda path: path.write_bytes(picture(path)),
    "half an image": lambda path: path.write_bytes(picture(path)[:99]),
    "empty": Path.touch,
    "text": lambda path: path.write_text("text"),
    "nothing": lambda path: None,
    "folder": Path.mkdir,
    "closed file": lambda path: path.touch(0),
    "closed folder": lambda path: path.mkdir(0),
    "pipe": os.mkfifo,
    "socket": bind,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "broken link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to its folder": lambda path: path.symlink_to("."),
    "link to the folder above": lambda path: path.symlink_to(".."),
    "link out": lambda path: path.symlink_to(PARAMETERS),
    "link to no name": lambda path: path.symlink_to("x" * 300),
}
"""Kinds of entries by name, and the function that makes each."""
ODD = (
    "a", "A", "b", "caf\u00e9", "cafe\u0301", "straße", "STRASSE", "-rf", "--json", " ", "a b",
    "two\nlines", "a\u2028b", "\x1b[31m", "x" * 255, "é" * 120, "\udcff", ".hidden", "Thumbs.db",
    "~", "%s", "{}", "*", "[a]", "'\"", "\\",
)  # fmt: skip


def is_name(text: str) -> bool:
    fits = 0 < len(os.fsencode(text)) <= 255
    return fits and text not in (".", "..") and "/" not in text and "\0" not in text


names = st.one_of(
    st.sampled_from(ODD), st.text(max_size=20), st.binary(max_size=20).map(os.fsdecode)
).filter(is_name)
suffixes = st.sampled_from((".png", ".png", ".png", ".JPG", ".txt", ""))
entries = st.sampled_from([*ENTRIES])


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """A dataset with odd names and some unexpected entries."""
    classes = draw(st.lists(names, min_size=2, max_size=3, unique=True))
    tree: dict[str, Any] = {
        split: {name: {"1.png": "image"} for name in classes} for split in SPLITS
    }
    files = st.tuples(names, suffixes).map("".join).filter(is_name)
    place = (st.sampled_from(SPLITS), st.one_of(st.sampled_from(classes), names), files)
    for _ in range(draw(st.integers(0, 3))):
        *folders, last = draw(st.tuples(*place[: draw(st.integers(1, 3))]))
        plant(tree, folders, {last: draw(entries)})
    return tree


def plant(tree: Any, folders: list[str], entry: dict[str, str]) -> None:
    """Put `entry` into `folders`, if they exist."""
    for name in folders:
        tree = tree.get(name) if isinstance(tree, dict) else None
    if isinstance(tree, dict):
        tree |= entry


def grow(path: Path, node: object) -> None:
    """Make `node` at `path`: a folder of nodes, or one of ENTRIES."""
    if not isinstance(node, dict):
        ENTRIES[str(node)](path)
        return
    path.mkdir()
    for name, child in node.items():
        grow(path / name, child)


@contextmanager
def workspace() -> Iterator[None]:
    """A new directory for each example."""
    with TemporaryDirectory() as folder, chdir(folder):
        shutil.copy(PARAMETERS, "params.yaml")
        yield


def message(action: Callable[[], object]) -> str:
    """Return the error message for the user; empty without an error."""
    try:
        action()
    except UserError as error:
        return str(error)
    return ""


def read_all(root: Path) -> None:
    """Read the dataset as training does, without an array of all pixels."""
    with time_limit(), explain_system_errors():
        for path in scan(root).paths:
            path.stat()
            read_header(path)


@given(name=names, tree=trees())
def test_any_folder_is_checked(name: str, tree: dict) -> None:
    """Text and JSON agree; a dataset that passes can be trained on."""
    with workspace():
        grow(Path(name), tree)
        text, data = (outcome(["check", *form, "--", name]) for form in ([], ["--json"]))
        assert text.status == data.status
        assert text.status in (0, 1)
        assert text.err == data.err
        if text.err:
            assert text.err.startswith("error: ")
            assert is_one_line(text.err.removesuffix("\n"))
        else:
            assert {problem["kind"] for problem in json.loads(data.out)} <= set(KINDS)
        if text.status == 0:
            read_all(Path(name))


@given(name=names, tree=trees())
def test_any_folder_is_read(name: str, tree: dict) -> None:
    with workspace():
        grow(Path(name), tree)
        error = message(lambda: read_all(Path(name)))
    assert not error or is_one_line(error)


def gradient(mode: str) -> Image.Image:
    """Make a picture of few pixels, all of them different."""
    return Image.linear_gradient("L").resize((12, 9)).rotate(30).convert("RGB").convert(mode)


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


MOVING: dict[str, Any] = {"save_all": True, "append_images": [gradient("L").rotate(90)]}
DEEP = Image.fromarray(np.arange(0, 65536, 700, dtype=np.uint16)[:90].reshape(9, 10))
SEEDS = (
    *(encoded(gradient(mode), "JPEG") for mode in ("L", "RGB", "CMYK")),
    encoded(gradient("RGB"), "JPEG", progressive=True, exif=rotated(), comment="x"),
    encoded(gradient("RGB"), "MPO", **MOVING),
    *(encoded(gradient(mode), "PNG") for mode in ("1", "L", "LA", "RGB", "RGBA")),
    encoded(gradient("P"), "PNG", transparency=b"\x00\x7f\xff"),
    encoded(gradient("L"), "PNG", transparency=7, exif=rotated(), dpi=(1, 2), icc_profile=b"icc"),
    encoded(gradient("RGB"), "PNG", **MOVING),
    encoded(DEEP, "PNG"),
    encoded(gradient("RGB"), "WEBP", exif=rotated()),
    encoded(gradient("RGBA"), "WEBP", lossless=True),
    encoded(gradient("RGB"), "WEBP", **MOVING),
    *(encoded(gradient(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(encoded(gradient(mode), "GIF") for mode in ("L", "P", "RGBA")),
    encoded(gradient("RGB"), "GIF", **MOVING),
    *(encoded(gradient(mode), "TIFF") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I")),
    *(
        encoded(gradient("RGB"), "TIFF", compression=name, exif=rotated())
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    ),
    encoded(DEEP, "TIFF", exif=rotated()),
    encoded(gradient("RGB"), "TIFF", save_all=True, append_images=[gradient("L")]),
    *(encoded(gradient(mode), "PPM") for mode in ("1", "L", "RGB", "I")),
)
"""Images of every format and mode that is read."""
EXTREMES = [
    (number % 2 ** (8 * size)).to_bytes(size, order)
    for size in (2, 4)
    for order in ("big", "little")
    for number in (0, 1, 2, 9, 256, 2_000, 2 ** (8 * size - 1), -(2 ** (8 * size - 1)) - 1, -1)
]
"""Bytes for the place of a declared length."""
pieces = st.builds(
    lambda seed, start, length: seed[start : start + length],
    st.sampled_from(SEEDS), st.integers(0, 300), st.integers(0, 100),
)  # fmt: skip


@st.composite
def image_files(draw: st.DrawFn) -> bytes:
    """An image with some bytes changed, inserted or removed."""
    content = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.one_of(st.integers(0, 64), st.integers(0, len(content))))
        new = draw(st.one_of(st.binary(max_size=4), st.sampled_from(EXTREMES), pieces))
        gone = draw(st.sampled_from((len(new), len(new), 0, len(content))))
        content = content[:start] + new + content[start + gone :]
    return with_sums(content) if draw(st.booleans()) else content


def with_sums(png: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks; Pillow ignores chunks with wrong ones."""
    content, start = bytearray(png), 8
    while start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4])
        content[end : end + 4] = crc32(content[start + 4 : end]).to_bytes(4)
        start = end + 4
    return bytes(content)


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Limit memory, and the number of pixels, for the block."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        with pytest.MonkeyPatch.context() as patch, time_limit():
            patch.setattr(Image, "MAX_IMAGE_PIXELS", PIXELS)
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def read(path: Path) -> bytes | str:
    """Return the pixels as training reads them, or the error message."""
    try:
        return read_pixels(path, read_header(path)[:2]).tobytes()
    except UserError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore")  # Pillow's, which stop nothing
@given(content=image_files())
def test_any_image_file_is_read_or_named(content: bytes) -> None:
    """Two reads give the same, and the check agrees."""
    with TemporaryDirectory() as folder, bounded_memory():
        path = Path(folder, "image.png")
        path.write_bytes(content)
        first, second, (facts, _) = read(path), read(path), examine(path, content)
        assert first == second
        if isinstance(first, str):
            assert is_one_line(first)
            assert first.startswith(f"{path} ")
            assert "MemoryError" not in first
            assert facts.problem in KINDS
        elif not facts.problem:
            assert read_header(path)[:2] == (facts.height, facts.width)
        assert is_one_line(f"{facts.problem} {facts.detail}")

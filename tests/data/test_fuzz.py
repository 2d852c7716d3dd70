"""Whatever lies in a dataset's folders, and whatever an image's file holds: it is read, or told in
one line."""

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

from benchmark.audit.examination import examine
from benchmark.audit.problems import KINDS
from benchmark.data.folder import SPLITS, pixels, scan, shape
from benchmark.errors.user_error import UserError, explain_system_errors
from tests import PARAMETERS
from tests.support.outcome import is_one_line, outcome, time_limit

pytestmark = pytest.mark.fuzz
PIXELS = 2**20
"""As Pillow's own limit, which allows twice as many, but of images that are quick to read."""
ROOM = 5 * 2**30
"""Bytes beside what the tests have already. A length of 4 GiB that a file declares is asked for at
once, though no more is used than there is to read."""


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def bind(path: Path) -> None:
    """A socket's own path may have some hundred bytes; a file's name alone may have more."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        Path(folder, "s").rename(path)


def picture(path: Path) -> bytes:
    """Of a place's own colour, so that no two are alike."""
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
"""What may stand in a place, by name; each makes itself."""
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
    """A dataset with odd names, in which some places hold something else."""
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
    """Where there are such folders still."""
    for name in folders:
        tree = tree.get(name) if isinstance(tree, dict) else None
    if isinstance(tree, dict):
        tree |= entry


def grow(path: Path, node: object) -> None:
    """Make what `node` says: a folder of nodes, or one of ENTRIES."""
    if not isinstance(node, dict):
        ENTRIES[str(node)](path)
        return
    path.mkdir()
    for name, child in node.items():
        grow(path / name, child)


@contextmanager
def workspace() -> Iterator[None]:
    """A directory of its own for each example; a closed folder is opened to be removed."""
    with TemporaryDirectory() as folder, chdir(folder):
        shutil.copy(PARAMETERS, "params.yaml")
        yield


def message(action: Callable[[], object]) -> str:
    """What the user is told, if something is wrong."""
    try:
        action()
    except UserError as error:
        return str(error)
    return ""


def read_all(root: Path) -> None:
    """As training does, without an array of all pixels."""
    with time_limit(), explain_system_errors():
        for path in scan(root).paths:
            path.stat()
            shape(path)


@given(name=names, tree=trees())
def test_whatever_lies_in_its_folders_a_dataset_is_checked(name: str, tree: dict) -> None:
    """In text as in JSON; what passes can be trained on."""
    with workspace():
        grow(Path(name), tree)
        said, data = (outcome(["check", *form, "--", name]) for form in ([], ["--json"]))
        assert said.status == data.status
        assert said.status in (0, 1)
        assert said.err == data.err
        if said.err:
            assert said.err.startswith("error: ")
            assert is_one_line(said.err.removesuffix("\n"))
        else:
            assert {problem["kind"] for problem in json.loads(data.out)} <= set(KINDS)
        if said.status == 0:
            read_all(Path(name))


@given(name=names, tree=trees())
def test_whatever_lies_in_its_folders_a_dataset_is_read(name: str, tree: dict) -> None:
    with workspace():
        grow(Path(name), tree)
        said = message(lambda: read_all(Path(name)))
    assert not said or is_one_line(said)


def gradient(mode: str) -> Image.Image:
    """A picture of few pixels, no two alike."""
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
)
"""Images of every format and mode that is read."""
EXTREMES = [
    (number % 2 ** (8 * size)).to_bytes(size, order)
    for size in (2, 4)
    for order in ("big", "little")
    for number in (0, 1, 2, 9, 256, 2_000, 2 ** (8 * size - 1), -(2 ** (8 * size - 1)) - 1, -1)
]
"""What may stand where a length is declared."""
pieces = st.builds(
    lambda seed, start, length: seed[start : start + length],
    st.sampled_from(SEEDS), st.integers(0, 300), st.integers(0, 100),
)  # fmt: skip


@st.composite
def image_files(draw: st.DrawFn) -> bytes:
    """An image with some bytes changed, put in or cut off."""
    content = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.one_of(st.integers(0, 64), st.integers(0, len(content))))
        new = draw(st.one_of(st.binary(max_size=4), st.sampled_from(EXTREMES), pieces))
        gone = draw(st.sampled_from((len(new), len(new), 0, len(content))))
        content = content[:start] + new + content[start + gone :]
    return with_sums(content) if draw(st.booleans()) else content


def with_sums(png: bytes) -> bytes:
    """With the sums of its chunks, without which Pillow looks at nothing else in a changed one."""
    content, start = bytearray(png), 8
    while start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4])
        content[end : end + 4] = crc32(content[start + 4 : end]).to_bytes(4)
        start = end + 4
    return bytes(content)


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Little more may be asked for than images of the most pixels need, which are made few."""
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
    """The pixels as training reads them, or why it cannot."""
    try:
        return pixels(path, *shape(path)).tobytes()
    except UserError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore")  # Pillow's, which stop nothing
@given(content=image_files())
def test_whatever_it_holds_an_images_file_is_read_or_named(content: bytes) -> None:
    """The same each time, and as the check says."""
    with TemporaryDirectory() as folder, bounded_memory():
        path = Path(folder, "image.png")
        path.write_bytes(content)
        first, second, facts = read(path), read(path), examine(path)
        assert first == second
        if isinstance(first, str):
            assert is_one_line(first)
            assert first.startswith(f"{path} ")
            assert "MemoryError" not in first
            assert facts.problem in KINDS
        elif not facts.problem:
            assert shape(path) == (facts.height, facts.width)
        assert is_one_line(f"{facts.problem} {facts.detail}")

"""Whatever lies in a dataset's folders, and whatever an image's file holds: it is read, or told in
one line."""

import io
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.common.errors import UserError, explain_system_errors
from benchmark.data.folder import SPLITS, scan, shape
from benchmark.data.problems import KINDS
from tests import PARAMETERS
from tests.outcome import is_one_line, outcome, time_limit

pytestmark = pytest.mark.fuzz


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def bind(path: Path) -> None:
    """A socket's own path may have some hundred bytes; a file's name alone may have more."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        Path(folder, "s").rename(path)


PNG = encoded(Image.new("RGB", (8, 8), "red"), "PNG")
ENTRIES: dict[str, Callable[[Path], object]] = {
    "image": lambda path: path.write_bytes(PNG),
    "half an image": lambda path: path.write_bytes(PNG[: len(PNG) // 2]),
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
    return text not in (".", "..") and "/" not in text and "\0" not in text and fits(text)


def fits(name: str) -> bool:
    return 0 < len(os.fsencode(name)) <= 255


names = st.one_of(
    st.sampled_from(ODD), st.text(max_size=20), st.binary(max_size=20).map(os.fsdecode)
).filter(is_name)
suffixes = st.sampled_from((".png", ".png", ".png", ".JPG", ".txt", ""))
files = st.dictionaries(
    st.tuples(names, suffixes).map("".join).filter(is_name),
    st.sampled_from([*ENTRIES]),
    max_size=3,
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, object]:
    """A folder for each split and class, but for a few."""
    classes = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    other = st.sampled_from([*ENTRIES])
    folder = st.one_of(*[files] * 9, other)
    split = st.one_of(*[st.fixed_dictionaries(dict.fromkeys(classes, folder))] * 9, other)
    return draw(st.fixed_dictionaries(dict.fromkeys(SPLITS, split)))


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


def read_all(root: Path) -> None:
    """As training does, without an array of all pixels."""
    with time_limit(), explain_system_errors():
        for path in scan(root).paths:
            path.stat()
            shape(path)


@given(name=names, tree=trees())
def test_whatever_lies_in_its_folders_a_dataset_is_checked(name: str, tree: dict) -> None:
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


@given(name=names, tree=trees())
def test_whatever_lies_in_its_folders_a_dataset_is_read(name: str, tree: dict) -> None:
    with workspace():
        grow(Path(name), tree)
        try:
            read_all(Path(name))
        except UserError as error:
            assert is_one_line(str(error))

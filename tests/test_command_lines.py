"""Every command line of `python -m benchmark` ends in an exit status, without a traceback."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import command_line
from benchmark.command_line import ACCELERATOR_STAGES, ENVIRONMENT, PLAIN_STAGES
from benchmark.common import results
from benchmark.common.parameters import ACCELERATORS
from benchmark.common.results import write_result
from benchmark.compare import duel
from benchmark.data.folder import SPLITS
from benchmark.machine import accelerators
from tests import PARAMETERS
from tests.support import made_records, made_results
from tests.support.fixtures import write_images
from tests.support.outcome import is_one_line, outcome

COMMANDS = (
    *PLAIN_STAGES,
    ENVIRONMENT,
    *ACCELERATOR_STAGES,
    "check",
    "clean",
    "export",
    "compare",
    "duel",
)
PLACES = (
    ".", "", "..", "data", "data/train", "reports", "reports/machines", "params.yaml", "file",
    "pipe", "loop", "long", "new", "file/below", "new/below", "HEAD", "x" * 5_000, "\udcff", "*",
)  # fmt: skip
VALUES = (
    "--json", "--markdown", "--help", "--", "--output=taken", "--remote=ext::touch taken", "-o",
    "-1", "5%", "0", "nan", "1e999%", "own", "control", "7",
)  # fmt: skip


def stays_here(word: str) -> bool:
    """Whether a word can be typed and does not name a file outside the directory to write."""
    return "\0" not in word and not word.startswith("/") and "../" not in word


words = st.one_of(
    st.sampled_from(PLACES),
    st.sampled_from((*PLACES, *VALUES, *COMMANDS)),
    st.text(max_size=9),
    st.binary(max_size=9).map(os.fsdecode),
).filter(stays_here)


def line(*parts: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    """A command line: the words of all parts."""
    return st.tuples(*parts).map(lambda drawn: [word for part in drawn for word in part])


def one(*choices: str) -> st.SearchStrategy[list[str]]:
    return st.sampled_from(choices).map(lambda word: [word])


def maybe(*option: str) -> st.SearchStrategy[list[str]]:
    return st.sampled_from(([], [*option]))


def options(*names: str) -> st.SearchStrategy[list[str]]:
    """An option with a value, or none."""
    return st.one_of(maybe(), st.tuples(st.sampled_from(names), words).map(list))


lines = st.one_of(
    st.lists(st.one_of(words, st.sampled_from(COMMANDS)), max_size=5),
    line(one("check"), maybe("--json"), maybe("--"), words.map(lambda word: [word])),
    line(
        one("compare", "duel"), options("--markdown", "--max-regression"), maybe("--"),
        st.lists(words, min_size=2, max_size=2),
    ),
    line(one(*ACCELERATOR_STAGES), one(*ACCELERATORS), options("--training")),
    line(one(ENVIRONMENT), st.lists(st.one_of(words, st.sampled_from(ACCELERATORS)), max_size=3)),
    line(one("clean", "export", *PLAIN_STAGES)),
)  # fmt: skip


@pytest.fixture(scope="module")
def made_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, results and a commit of them; a pipe, and links to nothing."""
    root = tmp_path_factory.mktemp("made")
    write_images(root / "data", classes=2, sizes=dict.fromkeys(SPLITS, 1))
    shutil.copy(PARAMETERS, root / "params.yaml")
    (root / "file").write_bytes(b"\xff")
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to("loop")
    (root / "long").symlink_to("x" * 300)
    with chdir(root):
        write_result(results.DATASET, made_results.DATASET)
        made_records.write_results("cpu")
        made_records.write_absent("gpu")
        who = ("-c", "user.name=a", "-c", "user.email=b")
        for words in (["init", "--template="], ["add", "reports"], [*who, "commit", "-m", "m"]):
            subprocess.run(["git", *words], check=True, capture_output=True)
    return root


@pytest.mark.parametrize("place", [".", "..", "", "/", "reports"])
@pytest.mark.parametrize(
    ("command", "option"),
    [("compare", "--markdown"), ("duel", "--markdown"), ("duel", "--json")],
)
def test_a_folder_is_no_file_to_write(
    made_workspace: Path, monkeypatch: pytest.MonkeyPatch, command: str, option: str, place: str
) -> None:
    """The file is refused before anything is measured."""
    monkeypatch.chdir(made_workspace)
    with without_work():
        ended = outcome([command, ".", ".", option, place])
    assert ended.status == 2
    assert f"argument {option}: invalid file value: '{place}'" in ended.err


@contextmanager
def without_work() -> Iterator[None]:
    """Stages that do nothing, and a machine whose only accelerator is the CPU."""
    idle = SimpleNamespace(run=lambda *_, **__: 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "import_module", lambda _: idle)
        patch.setattr(duel, "run", idle.run)
        patch.setattr(
            accelerators,
            "find",
            lambda name: accelerators.Accelerator(name, "a" if name == "cpu" else "", "none here"),
        )
        yield


@pytest.mark.fuzz
@given(words=lines, is_made=st.booleans())
def test_whatever_is_typed_ends_in_a_status(made_workspace: Path, words, is_made: bool) -> None:
    with TemporaryDirectory() as outside:
        directory = Path(outside, "here")
        if is_made:
            subprocess.run(["cp", "-a", made_workspace, directory], check=True)
        else:
            directory.mkdir()
        with chdir(directory), without_work():
            ended = outcome(words)
        assert [path.name for path in Path(outside).iterdir()] == ["here"]
        assert not (directory / "taken").exists()
    assert ended.status in (0, 1, 2)
    if ended.err.startswith("error: "):
        assert is_one_line(ended.err.removesuffix("\n"))
    else:
        assert (ended.status == 2) == ended.err.startswith("usage: ")

"""DataLoader workers with a long TMPDIR."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmark.common import sockets
from benchmark.common.sockets import make_room_for_sockets
from benchmark.errors.user_error import UserError
from tests import REPOSITORY
from tests.support.forked_python import python

LISTEN = "; from multiprocessing.connection import Listener; Listener(family='AF_UNIX').close()"


@pytest.fixture
def long_directory(tmp_path: Path) -> Path:
    """Create a directory whose path has more than 120 characters."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    return directory


def run(code: str, tmpdir: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"TMPDIR": str(tmpdir), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [python(), "-c", code], env=environment, capture_output=True, text=True, cwd=tmpdir
    )


def test_each_process_of_the_suite_makes_room(long_directory: Path) -> None:
    code = "from benchmark.machine.accelerators import prepare; prepare('cpu')"
    done = run(code + LISTEN, long_directory)
    assert done.returncode == 0, done.stderr


def test_other_temporary_files_stay_where_the_user_wants_them(long_directory: Path) -> None:
    code = (
        "from benchmark.common.sockets import make_room_for_sockets as make; make(); "
        "import tempfile; print(tempfile.gettempdir())"
    )
    assert run(code, long_directory).stdout.strip() == str(long_directory)


def test_without_a_shorter_directory_one_line_says_what_to_do(
    long_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(long_directory))
    monkeypatch.setattr(sockets, "SHORT", (long_directory / "absent",))
    with pytest.raises(UserError, match=r"TMPDIR has .* Set TMPDIR to a directory"):
        make_room_for_sockets()


def test_a_short_directory_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/" + "d" * (sockets.LONGEST - sockets.ADDED - 1))
    monkeypatch.setattr(sockets, "SHORT", ())
    make_room_for_sockets()

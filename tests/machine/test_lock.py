import codecs
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from benchmark.command_line import main
from benchmark.machine import lock
from benchmark.machine.lock import measuring_lock
from tests import REPOSITORY
from tests.conftest import is_held
from tests.support.forked_python import python

HOLD = """
import sys
from benchmark.machine.lock import measuring_lock
with measuring_lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_measurement_waits_for_the_first(capsys, monkeypatch) -> None:
    say = print
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == b"held\n"

        def released(*words: Any, **options: Any) -> None:
            say(*words, **options)
            other.stdin.close()

        monkeypatch.setattr("builtins.print", released)
        with measuring_lock():
            assert other.stdin.closed
            assert "Another measurement is running on this machine" in capsys.readouterr().out
    assert other.returncode == 0


def test_the_lock_is_given_back(capsys) -> None:
    for _ in range(2):
        with measuring_lock():
            pass
    assert capsys.readouterr().out == ""


SAY = "from benchmark.machine import lock; print(lock.lock_file())"


def test_the_tests_and_their_processes_have_a_lock_of_their_own() -> None:
    """The tests then do not wait for a measurement that runs at the same time."""
    child = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True)
    assert child.stdout.strip() == str(lock.lock_file()), child.stderr
    assert lock.lock_file().parent == Path(os.environ["TMPDIR"])


def test_jobs_with_temporary_directories_of_their_own_have_one_lock(tmp_path: Path) -> None:
    paths = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        variables = {k: v for k, v in os.environ.items() if k != "BENCHMARK_LOCK_DIRECTORY"}
        job = variables | {"TMPDIR": str(tmp_path / name)}
        child = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, env=job)
        paths.add(child.stdout.strip())
    assert len(paths) == 1
    assert not paths.pop().startswith(str(tmp_path))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a lock file in a new folder."""
    monkeypatch.setenv("BENCHMARK_LOCK_DIRECTORY", str(tmp_path))
    return lock.lock_file()


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


def link(path: Path) -> None:
    """Link to another file: every user can write in the folder of the lock."""
    (path.parent / "precious").write_text("kept")
    path.symlink_to("precious")


@pytest.mark.parametrize("make", [Path.mkdir, bind, link])
def test_what_is_no_file_in_the_locks_place_is_one_line_and_no_wait(
    workspace: Path, make: Callable[[Path], None], monkeypatch, capsys
) -> None:
    monkeypatch.setenv("BENCHMARK_LOCK_DIRECTORY", str(Path.cwd()))
    make(lock.lock_file())
    assert main(["throughput", "cpu"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {lock.lock_file()}: ")
    assert error.count("\n") == 1
    if make is link:
        assert Path("precious").read_text() == "kept"


def test_a_lock_file_of_another_user_is_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """All users may write in the folder; Linux then refuses O_CREAT for another user's file."""
    with TemporaryDirectory(dir="/tmp") as folder:  # a test's folder is closed to other users
        Path(folder).chmod(0o1777)
        monkeypatch.setenv("BENCHMARK_LOCK_DIRECTORY", folder)
        lock.lock_file().write_text("theirs")
        lock.lock_file().chmod(0o666)
        with as_unprivileged_user(), measuring_lock():
            assert is_held(lock.lock_file())
        assert not is_held(lock.lock_file())
        assert lock.lock_file().read_text() == "theirs"


@contextmanager
def as_unprivileged_user() -> Iterator[None]:
    """Change root's effective user to one that owns no files; other users stay as they are.

    That user may be unable to read Python itself: the codec that filelock needs is loaded before.
    """
    codecs.lookup("ascii")
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_every_user_may_open_a_new_lock_file(place: Path) -> None:
    """Clones of older versions open the file for writing."""
    before = os.umask(0o077)
    try:
        with measuring_lock():
            assert place.stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(before)


@pytest.mark.slow
def test_tests_beside_a_measurement_say_that_they_disturb_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHMARK_LOCK_DIRECTORY", str(tmp_path))
    command = [python(), "-m", "pytest", "--collect-only", "-p", "no:xdist", __file__]
    with measuring_lock():
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout
    assert "A measurement is running on this machine." in done.stdout

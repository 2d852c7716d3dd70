"""Only temporary directories of killed processes are removed."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmark.common import temporary
from benchmark.common.temporary import reserve_space, temporary_directory
from benchmark.errors.user_error import UserError, explain_system_errors
from tests import REPOSITORY

HOLD = """
from benchmark.common.temporary import temporary_directory
with temporary_directory() as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a new temporary directory for this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def holder() -> tuple[subprocess.Popen[str], Path]:
    """Start a process with a temporary directory; return both."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=REPOSITORY, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_it_is_empty_and_gone_when_the_block_ends(place: Path) -> None:
    with temporary_directory() as folder:
        assert list(folder.iterdir()) == []
        assert place in folder.parents
    assert list(place.iterdir()) == []


def test_that_of_a_killed_process_goes_and_that_of_a_living_one_stays(place: Path) -> None:
    (killed, left), (living, kept) = holder(), holder()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (place / "somebody else's").mkdir()
    with temporary_directory():
        assert not left.exists()
        assert (kept / "file").exists()
    living.communicate("\n")
    assert [path.name for path in place.iterdir()] == ["somebody else's"]


def test_what_others_have_put_there_is_left_alone(
    place: Path, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links to a folder of this user, and folders of another user, are not removed."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").write_text("content")
    (place / f"{temporary.PREFIX}0123456789abcdef.tmp").symlink_to(elsewhere)
    with temporary_directory():
        assert (elsewhere / "file").read_text() == "content"
    (place / f"{temporary.PREFIX}00000000000000ff.tmp").mkdir()
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with temporary_directory():
        assert (place / f"{temporary.PREFIX}00000000000000ff.tmp").exists()


def test_room_is_kept_without_a_file_that_could_be_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(temporary, "RESERVED", 2**26)
    free = shutil.disk_usage(tmp_path).free
    with reserve_space(tmp_path / "reports/result.json"):
        assert list((tmp_path / "reports").iterdir()) == []
        assert free - shutil.disk_usage(tmp_path).free > 2**25


def test_a_disk_without_that_room_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(temporary, "bytes", full, raising=False)
    with (
        pytest.raises(UserError, match=r"result\.json: No space left on device\. Make room"),
        explain_system_errors(),
        reserve_space(tmp_path / "result.json"),
    ):
        pytest.fail("there was room")

"""Temporary directories, and room on a disk, that a killed process does not keep for ever."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "benchmark-"
LOCK = "lock"
"""A file in each, held for as long as its process lives."""
ROOM = 2**20
"""Bytes: more than a stage's result takes."""


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory of this process's own, gone when the block ends. Those of killed processes are
    removed first."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        if _is_own(left.parent):
            _remove(left.parent)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with FileLock(directory / LOCK):
            (folder := directory / "files").mkdir()
            yield folder
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _is_own(directory: Path) -> bool:
    """Everybody may write where it lies: a link, or what lies in another's, could be anything."""
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _remove(directory: Path) -> None:
    """Unless its process lives."""
    with suppress(Timeout, OSError), FileLock(directory / LOCK, timeout=0):
        shutil.rmtree(directory)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Keeps ROOM bytes of the disk for as long as the block runs: what was measured for minutes
    can then be written to `path`, even if the disk has filled up meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as file:  # it has no name that could be left
        try:
            file.write(bytes(ROOM))
            file.flush()
        except OSError as error:
            error.filename = str(path)
            raise
        yield

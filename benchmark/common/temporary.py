"""Temporary directories, and reserved disk space, that do not outlive a killed process."""

import fcntl
import glob
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "benchmark-"
DIGITS, SUFFIX = 16, ".tmp"
"""Hex digits that follow the prefix of a directory's name, and its end."""
RESERVED = 2**20
"""Bytes: more than a stage's result takes."""


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make an empty directory, which is removed when the block ends."""
    with locked_directory(Path(tempfile.gettempdir()), PREFIX) as directory:
        yield directory


@contextmanager
def locked_directory(
    parent: Path, prefix: str, rescue: Callable[[Path], None] = lambda _: None
) -> Iterator[Path]:
    """Make a locked directory, which is removed when the block ends.

    The directories that killed processes left are removed first. The lock distinguishes them: a
    process number would not, since containers on one volume number their processes separately.

    Args:
        parent: existing directory.
        prefix: of the directory's name.
        rescue: called with each directory of a killed process before it is removed.
    """
    for directory in parent.glob(glob.escape(prefix) + "[0-9a-f]" * DIGITS + SUFFIX):
        if _belongs_to_user(directory):
            with suppress(OSError), _open_directory(directory) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                rescue(directory)
                shutil.rmtree(directory)
    directory, lock = _make(parent, prefix)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _make(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make and lock a directory; return it with the descriptor that keeps the lock."""
    while True:
        directory = parent / f"{prefix}{secrets.token_hex(DIGITS // 2)}{SUFFIX}"
        directory.mkdir(0o700)
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            descriptor = os.open(directory, os.O_RDONLY)
            with suppress(OSError):  # some network file systems have no such locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if directory.exists():
                return directory, descriptor
            os.close(descriptor)


@contextmanager
def _open_directory(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _belongs_to_user(directory: Path) -> bool:
    """Whether it is this user's directory: where everybody may write, a link could be anything."""
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


@contextmanager
def reserve_space(path: Path) -> Iterator[None]:
    """Reserve RESERVED bytes of the disk until the block ends.

    A result that took minutes to measure can then be written to `path`, even if the disk has
    filled up meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as file:  # without a name that could be left
        try:
            file.write(bytes(RESERVED))
            file.flush()
        except OSError as error:
            error.filename = str(path)
            raise
        yield

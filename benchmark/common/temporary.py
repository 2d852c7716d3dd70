"""Temporary directories and reserved disk space. What killed processes leave is removed."""

import fcntl
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PREFIX = "benchmark-"
DIGITS, SUFFIX = 16, ".tmp"
"""Number of random hex digits after the prefix of a directory's name, and the name's end."""
RESERVED = 2**20
"""Number of bytes to reserve, more than a stage's result takes."""


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Yield an empty directory, which is removed when the `with` block ends."""
    with locked_directory(Path(tempfile.gettempdir()), PREFIX) as directory:
        yield directory


@contextmanager
def locked_directory(
    parent: Path, prefix: str, rescue: Callable[[Path], None] = lambda _: None
) -> Iterator[Path]:
    """Yield an empty, locked directory, which is removed when the `with` block ends.

    First remove the directories that killed processes left: those that are not locked. A process
    number in the name would not identify them, since each container has its own numbering.

    Args:
        parent: existing directory in which the new directory is created.
        prefix: first part of the new directory's name.
        rescue: called with each directory of a killed process before it is removed.
    """
    for directory in parent.glob(glob.escape(prefix) + "[0-9a-f]" * DIGITS + SUFFIX):
        with suppress(OSError), _open_directory(directory) as descriptor:
            if os.fstat(descriptor).st_uid == os.geteuid():
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
    """Create and lock a directory; return it and the file descriptor that keeps the lock."""
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
    """Yield a file descriptor of `directory`; refuse a symbolic link or a file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reserve_space(path: Path) -> Iterator[None]:
    """Reserve RESERVED bytes of disk space for the file `path` while the `with` block runs.

    The space is free again when the block ends, so `path` can be written even if the disk became
    full. Create the directory of `path` if it is missing.

    Raises:
        OSError: the disk is full or the place cannot be written to; the error names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with name_in_errors(path):  # a file without a name that could be left
            file = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
            file.write(bytes(RESERVED))
            file.flush()
        yield


@contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Let OSErrors name `path`, and not a temporary file; the error of a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename2 is None:  # a rename names its target
            error.filename = str(path)
        raise

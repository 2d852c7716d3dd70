"""A lock that lets one process at a time measure on this machine."""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmark.errors.user_error import UserError

FOLDERS = (Path("/var/tmp"), Path("/tmp"))
"""Not TMPDIR: a job with its own TMPDIR would have its own lock, and measure next to others."""
NO_LINK_NO_WAIT = os.O_NOFOLLOW | os.O_NONBLOCK
"""Everybody may write in FOLDERS: a link there could name any file, and a pipe would wait."""


def lock_file() -> Path:
    """Return the lock file, the same one for every user and job of this machine.

    Each container has its own. BENCHMARK_LOCK_DIRECTORY names another folder, for tests.
    """
    if directory := os.environ.get("BENCHMARK_LOCK_DIRECTORY"):
        folder = Path(directory)
    else:
        writable = (folder for folder in FOLDERS if os.access(folder, os.W_OK))
        folder = next(writable, Path(tempfile.gettempdir()))
    return folder / "benchmark-measurement.lock"


@contextmanager
def measuring_lock() -> Iterator[None]:
    """Wait until no other process measures on this machine, and make others wait meanwhile.

    The system wakes the waiting process. filelock would poll, which disturbs a measurement; it
    also accepts a pipe as a lock file and refuses a file that it may only read.

    Raises:
        UserError: the lock file is not a regular file.
    """
    with open_lock_file(lock_file()) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                "Another measurement is running on this machine: waiting for its end.", flush=True
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked process may still have it open


@contextmanager
def open_lock_file(path: Path) -> Iterator[int]:
    """Open the file `path`, or create it; yield a descriptor for a lock.

    Raises:
        UserError: it is not a regular file.
    """
    file = _open(path)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _not_regular(path)
        yield file
    finally:
        os.close(file)


def _open(path: Path) -> int:
    """Open for reading first: the system refuses O_CREAT for another user's file in /tmp."""
    try:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | NO_LINK_NO_WAIT)
        file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:  # another process has just created it
        return _open(path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise _not_regular(path) from None
        raise
    os.fchmod(file, 0o666)  # whatever the umask: every user must be able to open it
    return file


def _not_regular(path: Path) -> UserError:
    return UserError(
        f"{path} keeps other measurements waiting, but is not a regular file.",
        "Remove it, or name another folder by BENCHMARK_LOCK_DIRECTORY.",
    )

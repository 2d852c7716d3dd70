"""A file lock with which one process at a time measures on this machine."""

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
"""Folders for the lock file. TMPDIR is not used: jobs with separate TMPDIRs would not share it."""
NO_LINK_NO_WAIT = os.O_NOFOLLOW | os.O_NONBLOCK
"""Flags for `open`. Every user can write in FOLDERS, so the lock file may be a link or a pipe: a
link is refused, and opening a pipe does not wait."""


def lock_file() -> Path:
    """Return the path of the lock file, equal for all users and jobs of this machine.

    Each container has a separate one. BENCHMARK_LOCK_DIRECTORY names another folder, for tests.
    """
    if directory := os.environ.get("BENCHMARK_LOCK_DIRECTORY"):
        folder = Path(directory)
    else:
        writable = (folder for folder in FOLDERS if os.access(folder, os.W_OK))
        folder = next(writable, Path(tempfile.gettempdir()))
    return folder / "benchmark-measurement.lock"


@contextmanager
def measuring_lock() -> Iterator[None]:
    """Keep the machine's measuring lock while a `with` block runs; wait for it first.

    While it waits, it prints one line. The operating system wakes the waiting process. The
    package filelock would poll, which disturbs a measurement; it also accepts a pipe as a lock file
    and refuses a file that can only be read.

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
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked process may still have the file open


@contextmanager
def open_lock_file(path: Path) -> Iterator[int]:
    """Open or create the lock file `path`; yield its file descriptor, and close it afterwards.

    Raises:
        UserError: `path` is not a regular file.
    """
    file = _open(path)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _not_regular(path)
        yield file
    finally:
        os.close(file)


def _open(path: Path) -> int:
    """Open `path` for reading, or create it with mode 666; return the file descriptor.

    An existing file is opened without O_CREAT, which Linux refuses for another user's file in /tmp.
    """
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

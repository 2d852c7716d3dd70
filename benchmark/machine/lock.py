"""One measurement at a time on this machine."""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmark.errors.user_error import UserError

PLACES = (Path("/var/tmp"), Path("/tmp"))
"""Not the temporary directory: a job may have one of its own, and would measure beside others."""
ASIDE = os.O_NOFOLLOW | os.O_NONBLOCK
"""Everybody may write in PLACES: a link there could name anybody's file, a pipe would wait."""


def lock_file() -> Path:
    """The same for every user and job of this machine; containers do not see one another's.
    BENCHMARK_LOCK_DIRECTORY names another folder: the tests have a lock of their own."""
    given = os.environ.get("BENCHMARK_LOCK_DIRECTORY")
    places = [Path(given)] if given else [each for each in PLACES if os.access(each, os.W_OK)]
    return next(iter(places), Path(tempfile.gettempdir())) / "benchmark-measurement.lock"


@contextmanager
def measuring_lock() -> Iterator[None]:
    """Wait until no other process measures on this machine, and keep others waiting.

    Raises:
        UserError: something else is in the lock file's place.
    """
    with opened(lock_file()) as file:
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
            fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked may have it open still


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The file `path`, made if need be: a descriptor that locks it and changes nothing in it.

    Raises:
        UserError: it is no regular file.
    """
    file = _open(path)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _no_file(path)
        yield file
    finally:
        os.close(file)


def _open(path: Path) -> int:
    """Another user's file can only be read: the system refuses O_CREAT for one that is there."""
    try:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | ASIDE)
        file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:  # made by another process meanwhile
        return _open(path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise _no_file(path) from None
        raise
    os.fchmod(file, 0o666)  # whatever the umask: every user must be able to open it
    return file


def _no_file(path: Path) -> UserError:
    return UserError(
        f"{path} keeps other measurements waiting, but is no regular file.",
        "Remove it, or name another folder by BENCHMARK_LOCK_DIRECTORY.",
    )

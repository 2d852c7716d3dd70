"""One measurement at a time on this machine."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PLACES = (Path("/var/tmp"), Path("/tmp"))
"""Not the temporary directory: a job may have one of its own, and would measure beside others."""


def lock_file() -> Path:
    """The same for every user and job of this machine; containers do not see one another's.
    BENCHMARK_LOCK_DIRECTORY names another folder: the tests have a lock of their own."""
    given = os.environ.get("BENCHMARK_LOCK_DIRECTORY")
    places = [Path(given)] if given else [each for each in PLACES if os.access(each, os.W_OK)]
    return next(iter(places), Path(tempfile.gettempdir())) / "benchmark-measurement.lock"


@contextmanager
def measuring_lock() -> Iterator[None]:
    """Wait until no other process measures on this machine, and keep others waiting."""
    lock = FileLock(lock_file(), mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another measurement is running on this machine: waiting for its end.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

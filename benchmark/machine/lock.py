"""A file lock with which one process at a time measures on this machine."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

FOLDERS = (Path("/var/tmp"), Path("/tmp"))
"""Folders for the lock file. TMPDIR is not used: jobs with separate TMPDIRs would not share it."""
POLL_SECONDS = 1.0
"""Seconds between two attempts of a waiting process, long enough not to disturb a measurement."""


def lock_file() -> Path:
    """Return the path of the lock file, equal for all users and jobs of this machine.

    Each container has a separate one. BENCHMARK_LOCK_DIRECTORY names another folder, for tests.
    """
    if directory := os.environ.get("BENCHMARK_LOCK_DIRECTORY"):
        return Path(directory) / "benchmark-measurement.lock"
    writable = (folder for folder in FOLDERS if os.access(folder, os.W_OK))
    return next(writable, Path(tempfile.gettempdir())) / "benchmark-measurement.lock"


@contextmanager
def measuring_lock() -> Iterator[None]:
    """Keep the machine's measuring lock while a `with` block runs; wait for it first.

    While it waits, it prints one line.

    Raises:
        OSError: the lock file is a link, a folder or a socket, or this user may not write to it.
    """
    lock = FileLock(lock_file(), mode=0o666)  # every user must be able to open it
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another measurement is running on this machine: waiting for its end.", flush=True)
        lock.acquire(poll_interval=POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()

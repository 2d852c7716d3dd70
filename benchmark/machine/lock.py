"""One measurement at a time on this machine."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = Path(tempfile.gettempdir()) / "benchmark-measurement.lock"


@contextmanager
def measuring_lock() -> Iterator[None]:
    """Wait until no other process measures on this machine, and keep others waiting."""
    lock = FileLock(LOCK, mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another measurement is running on this machine: waiting for its end.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

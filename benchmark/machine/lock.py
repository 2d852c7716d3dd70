"""One measurement at a time on this machine, and what else it is doing meanwhile."""

import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

LOCK = Path(tempfile.gettempdir()) / "benchmark-measurement.lock"
BUSY = 0.1
"""Part of all processors that other work may take before a measurement is spoilt."""


@contextmanager
def alone() -> Iterator[None]:
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


def warn_if_busy(seconds: float = 1.0) -> None:
    """Look for other work for so long, and say so if there is some."""
    with Witness() as witness:
        psutil.cpu_percent(seconds)
    if witness.others > BUSY:
        print(
            f"warning: other work takes {witness.others:.0%} of the processors "
            f"(load average {os.getloadavg()[0]:.1f}); it will spoil the measurement.",
            file=sys.stderr,
        )


def cores() -> int:
    """Logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Witness:
    """Notes what part of the processors' time other work takes while it looks on."""

    others: float
    """Neither this process nor the children that it has waited for; known at the end."""

    def __enter__(self) -> "Witness":
        self._start = _clock()
        return self

    def __exit__(self, *_: object) -> None:
        busy, own, total = (b - a for a, b in zip(self._start, _clock(), strict=True))
        self.others = max(0.0, busy - own) / total if total else 0.0


def _clock() -> tuple[float, float, float]:
    """Processor seconds so far: in use, in use by us, and in all."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
    idle = times.idle + getattr(times, "iowait", 0.0)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return total - idle, sum(use.ru_utime + use.ru_stime for use in usage), total

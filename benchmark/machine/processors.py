"""Count the processors that this process may use, and measure other processes' load on them."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path

import psutil

BUSY, BUSY_PROCESSORS = 0.1, 0.5
"""Other work disturbs a measurement if it takes more than this share of the processors, or more
than this number of processors. The number matters since parallel threads wait for the slowest."""
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
THREADS = Path("/proc/self/task")


def processor_count() -> int:
    """Return the number of logical processors that this process may use.

    It is the number of processors in the affinity mask, limited by the container's quota
    (`docker run --cpus`).
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return within_quota(allowed)


def within_quota(processors: int) -> int:
    """Return `processors`, limited by the container's quota (rounded up, and at least 1)."""
    return min([processors, *(max(1, ceil(quota)) for quota in _quotas())])


def disturbs(share: float) -> bool:
    """Return whether other work of `share` (see `OtherLoad.share`) disturbs a measurement."""
    return share > min(BUSY, BUSY_PROCESSORS / within_quota(len(_allowed())))


class OtherLoad:
    """Measures other processes' load while a `with` block runs.

    Only processors that this process may run on count. If a quota is smaller than their number, the
    difference is free for other work and is subtracted.
    """

    processors: float
    """Mean number of processors that other work took; set when the block ends."""
    share: float
    """`processors`, divided by the number of processors that this process may use."""

    def __enter__(self) -> "OtherLoad":
        self._own_start, self._start = _own_seconds(), psutil.cpu_times(percpu=True)
        return self

    def __exit__(self, *_: object) -> None:
        own_seconds, end = _own_seconds() - self._own_start, psutil.cpu_times(percpu=True)
        allowed = _allowed()
        pairs = [
            (_used_and_total(before), _used_and_total(after))
            for number, (before, after) in enumerate(zip(self._start, end, strict=True))
            if number in allowed
        ]
        used = sum(after[0] - before[0] for before, after in pairs)
        seconds = sum(after[1] - before[1] for before, after in pairs) / max(1, len(pairs))
        usable = within_quota(len(allowed))
        taken = (used - own_seconds) / seconds - (len(allowed) - usable) if seconds else 0.0
        self.processors = max(0.0, taken)
        self.share = self.processors / usable


def warn_if_busy(seconds: float = 1.0) -> None:
    """Measure other work for `seconds`; print a warning if it would disturb a measurement."""
    with OtherLoad() as load:
        psutil.cpu_percent(seconds)
    if disturbs(load.share):
        print(
            f"warning: other work takes {load.processors:.1f} processors "
            f"(load average {os.getloadavg()[0]:.1f}); it will disturb the measurement.",
            file=sys.stderr,
        )


def _quotas() -> Iterator[float]:
    """Yield the processor quota of each control group around this process that has one.

    Source: the Linux kernel's documentation of cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us).
    """
    for folder in _groups():
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            yield float(quota) / float(period)  # without a quota it is "max", a ValueError
        with suppress(OSError, ValueError):
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            limit, length = (int((folder / name).read_text()) for name in names)
            if limit > 0:
                yield limit / length


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's control groups and of the groups around them.

    A container's group is mounted as the root, so some paths may not exist.
    """
    with suppress(OSError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                root = CGROUPS / controllers
                inner = root / path.strip("/")
                yield from (path for path in (inner, *inner.parents) if path.is_relative_to(root))


def _allowed() -> set[int]:
    """Return the numbers of the processors that any of this process's threads may run on.

    OMP_PROC_BIND binds each thread to one processor, so the main thread's mask is not enough.
    """
    if not hasattr(os, "sched_getaffinity"):
        return set(range(os.cpu_count() or 1))
    allowed = set(os.sched_getaffinity(0))
    with suppress(OSError):
        for thread in THREADS.iterdir():
            with suppress(OSError):  # the thread has ended
                allowed |= os.sched_getaffinity(int(thread.name))
    return allowed


def _used_and_total(times: tuple[float, ...]) -> tuple[float, float]:
    """Return one processor's busy and total seconds since the machine started, from psutil's."""
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user and nice
    total = sum(times) - guest
    idle = getattr(times, "idle", 0.0) + getattr(times, "iowait", 0.0)
    return total - idle, total


def _own_seconds() -> float:
    """Return the processor seconds of this process and its descendants, also of ended children.

    Under `forkserver`, DataLoader workers are grandchildren.
    """
    used = 0.0
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):  # the process has just ended
            times = process.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used

"""The processors: how many this process may use, and what part of them other work takes."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path

import psutil

BUSY = 0.1
"""Part of all processors that other work may take before a measurement counts as disturbed."""
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cores() -> int:
    """Logical processors that this process may use: those that it may run on, and no more than a
    container's quota (`docker run --cpus`) is worth."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return within_quota(allowed)


def within_quota(processors: int) -> int:
    """As many, but no more than a container's quota is worth."""
    return min([processors, *(max(1, ceil(quota)) for quota in _quotas())])


def _quotas() -> Iterator[float]:
    """Processors' worth of time that each control group around this process may use.

    Source: the Linux kernel's documentation of cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us).
    """
    for folder in _groups():
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            yield float(quota) / float(period)  # "max" is no number
        with suppress(OSError, ValueError):
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            limit, length = (int((folder / name).read_text()) for name in names)
            if limit > 0:
                yield limit / length


def _groups() -> Iterator[Path]:
    """The folders of this process's control groups, and of those around them. Within a container
    its own group is mounted as the root, and paths may name nothing."""
    with suppress(OSError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                root = CGROUPS / controllers
                inner = root / path.strip("/")
                yield from (each for each in (inner, *inner.parents) if each.is_relative_to(root))


class OtherLoad:
    """Measures what part of the processors' time other work takes within a `with` block."""

    share: float
    """Of all processors' time; without this process and those below it. Known at the end."""

    def __enter__(self) -> "OtherLoad":
        self._start = _clock()
        return self

    def __exit__(self, *_: object) -> None:
        busy, own, total = (b - a for a, b in zip(self._start, _clock(), strict=True))
        self.share = max(0.0, busy - own) / total if total else 0.0


def warn_if_busy(seconds: float = 1.0) -> None:
    """Look for other work for `seconds`, and print a warning if there is some."""
    with OtherLoad() as load:
        psutil.cpu_percent(seconds)
    if load.share > BUSY:
        print(
            f"warning: other work takes {load.share:.0%} of the processors "
            f"(load average {os.getloadavg()[0]:.1f}); it will disturb the measurement.",
            file=sys.stderr,
        )


def _clock() -> tuple[float, float, float]:
    """Processor seconds so far: in use, in use by us, and in all."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
    idle = times.idle + getattr(times, "iowait", 0.0)
    return total - idle, _own_seconds(), total


def _own_seconds() -> float:
    """Of this process and all below it, those included that have ended and were waited for: under
    `forkserver`, a loader's workers are children of a child."""
    used = 0.0
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended
            times = process.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used

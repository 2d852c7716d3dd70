"""The processors: how many this process may use, and what part of them other work takes."""

import os
import resource
import sys

import psutil

BUSY = 0.1
"""Part of all processors that other work may take before a measurement counts as disturbed."""


def cores() -> int:
    """Logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class OtherLoad:
    """Measures what part of the processors' time other work takes within a `with` block."""

    share: float
    """Of all processors' time; without this process and the children that it has waited for.
    Known at the end."""

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
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return total - idle, sum(use.ru_utime + use.ru_stime for use in usage), total

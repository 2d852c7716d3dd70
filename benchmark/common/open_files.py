"""The limit of open files: raise it, and count what is left of it."""

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

ENOUGH = 65_536
"""Limit that is asked for: 500 processors need about 10,000 open files."""


def raise_limit() -> None:
    """Raise this process's soft limit of open files to ENOUGH, or to a smaller hard limit.

    A soft limit of 1,024 is usual, and a DataLoader's worker takes up to 14 files of its parent.
    Processes that this one starts inherit the limit. Do nothing where the system refuses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(ValueError, OSError):  # macOS has a lower limit that it does not report
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def files_left() -> int:
    """Return how many more files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    return (ENOUGH if soft == resource.RLIM_INFINITY else soft) - len(os.listdir(folder))

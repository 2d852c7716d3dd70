"""Environment variables that torch and OpenMP read when they are loaded, and the launcher's.

Results do not depend on them. A variable that the user has set keeps its value.
"""

import os
from pathlib import Path

import psutil

from benchmark.common.parameters import WaitPolicy
from benchmark.machine.processors import BUSY_PROCESSORS, OtherLoad

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
WAIT_POLICY = "OMP_WAIT_POLICY"
SPIN_COUNT = "GOMP_SPINCOUNT"
FEW_SPINS = "10000"
"""Alone about as fast as 300,000, the default of GNU's OpenMP. Of two trainings at once, where the
second saw the first, they took 2.2 and 1.7 times as long as alone; with 300,000 both took 3.1."""
SET: set[str] = set()
"""Variables that this process has set, as opposed to the user."""
LOOK_SECONDS = 0.3


def is_launched() -> bool:
    """Whether a launcher has started this process as one of several.

    srun can start a single one, and a SLURM batch script is not a task of its job.
    """
    tasks = int(os.environ.get("SLURM_NTASKS", "1")) if "SLURM_STEP_ID" in os.environ else 1
    return "TORCHELASTIC_RUN_ID" in os.environ or tasks > 1


def offer_huge_pages() -> None:
    """Let torch place large tensors in huge pages, where Linux gives them on request."""
    if HUGE_PAGES not in os.environ:
        _set(HUGE_PAGES, "1")


def user_environment() -> dict[str, str]:
    """The environment without the variables that this module has set in this process."""
    return {name: value for name, value in os.environ.items() if name not in SET}


def set_wait_policy(policy: WaitPolicy) -> None:
    """Set whether OpenMP's threads spin or sleep while they wait for each other.

    A thread that spins continues sooner, but takes a processor from other work. With `auto` they
    sleep if other work runs now, and else spin briefly. Processes of one job do not count as other
    work.
    """
    if WAIT_POLICY in os.environ or SPIN_COUNT in os.environ:
        return
    if policy == "auto" and (is_launched() or not _other_work()):
        _set(SPIN_COUNT, FEW_SPINS)
    else:
        _set(WAIT_POLICY, "passive" if policy == "auto" else policy)


def huge_pages() -> bool:
    """Whether torch requests huge pages and the system gives them."""
    return os.environ.get(HUGE_PAGES) == "1" and gives_huge_pages()


def gives_huge_pages() -> bool:
    """Whether Linux gives huge pages on request."""
    try:
        return "[never]" not in THP.read_text()
    except OSError:
        return False


def wait_policy() -> str:
    """Return `active`, `passive`, the spins before a thread sleeps, or `default` (OpenMP's)."""
    return os.environ.get(WAIT_POLICY, os.environ.get(SPIN_COUNT, "default")).lower()


def _set(name: str, value: str) -> None:
    os.environ[name] = value
    SET.add(name)


def _other_work() -> bool:
    with OtherLoad() as load:
        psutil.cpu_percent(LOOK_SECONDS)
    return load.processors > BUSY_PROCESSORS

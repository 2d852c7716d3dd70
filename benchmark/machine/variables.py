"""Environment variables of launchers, and those that torch and OpenMP read when they are loaded.

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
"""Number of spins before a thread sleeps. Alone, a training is about as fast as with 300,000, the
default of GNU's OpenMP. Of two trainings at once, the first took 2.2 times as long as alone and the
second (which sleeps) 1.7 times. With 300,000 spins, both took 3.1 times as long."""
SET: set[str] = set()
"""Names of variables that this module has set in this process."""
LOOK_SECONDS = 0.3


def is_launched() -> bool:
    """Return whether a launcher started this process as a rank.

    True under torchrun, and in an srun step of several tasks. A SLURM batch script has no
    SLURM_STEP_ID and is not a rank.
    """
    tasks = int(os.environ.get("SLURM_NTASKS", "1")) if "SLURM_STEP_ID" in os.environ else 1
    return "TORCHELASTIC_RUN_ID" in os.environ or tasks > 1


def offer_huge_pages() -> None:
    """Let torch request huge pages for large tensors. Call it before importing torch."""
    if HUGE_PAGES not in os.environ:
        _set(HUGE_PAGES, "1")


def user_environment() -> dict[str, str]:
    """Return the environment without the variables that this module has set in this process."""
    return {name: value for name, value in os.environ.items() if name not in SET}


def set_wait_policy(policy: WaitPolicy) -> None:
    """Set whether OpenMP's threads spin or sleep while they wait. Call it before importing torch.

    A thread that spins continues sooner, but takes a processor from other work. With `auto`,
    threads sleep if other work runs now; without it, and in ranks of a launcher, they spin briefly.
    Do nothing if the user has set OMP_WAIT_POLICY or GOMP_SPINCOUNT.
    """
    if WAIT_POLICY in os.environ or SPIN_COUNT in os.environ:
        return
    if policy != "auto":
        _set(WAIT_POLICY, policy)
        return
    if not is_launched():
        with OtherLoad() as load:
            psutil.cpu_percent(LOOK_SECONDS)
        if load.processors > BUSY_PROCESSORS:
            _set(WAIT_POLICY, "passive")
            return
    _set(SPIN_COUNT, FEW_SPINS)


def huge_pages() -> bool:
    """Return whether torch requests huge pages and the system gives them."""
    return os.environ.get(HUGE_PAGES) == "1" and gives_huge_pages()


def gives_huge_pages() -> bool:
    """Return whether Linux gives huge pages on request."""
    try:
        return "[never]" not in THP.read_text()
    except OSError:
        return False


def wait_policy() -> str:
    """Return `active`, `passive`, the number of spins before a thread sleeps, or `default`."""
    return os.environ.get(WAIT_POLICY, os.environ.get(SPIN_COUNT, "default")).lower()


def _set(name: str, value: str) -> None:
    os.environ[name] = value
    SET.add(name)

"""Variables of the environment: which launcher started this process, and what torch and OpenMP
read when they are loaded, to be set before that.

No bit of a result depends on it. What the user has set stays.
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
"""About as fast alone as the 300,000 that GNU's OpenMP spins by itself. Two trainings at once, of
which the second found the first, took 2.2 and 1.7 times as long as alone, with 300,000 both 3.1."""
LOOK_SECONDS = 0.3


def launched() -> bool:
    """Whether a launcher has started this process as one of several. (srun starts one, too, and a
    batch script of SLURM's is no task of its job.)"""
    tasks = int(os.environ.get("SLURM_NTASKS", "1")) if "SLURM_STEP_ID" in os.environ else 1
    return "TORCHELASTIC_RUN_ID" in os.environ or tasks > 1


def offer_huge_pages() -> None:
    """Have torch place large tensors in huge pages, where Linux has them for whoever asks."""
    os.environ.setdefault(HUGE_PAGES, "1")


def set_wait_policy(asked: WaitPolicy) -> None:
    """Have threads that wait for one another spin or sleep.

    One that spins goes on sooner, and keeps a processor from other work all the while. `auto` has
    them sleep where other work runs now, and else spin for a moment. The processes of one job are
    no other work to one another.
    """
    if WAIT_POLICY in os.environ or SPIN_COUNT in os.environ:
        return
    if asked == "auto" and (launched() or not _other_work()):
        os.environ[SPIN_COUNT] = FEW_SPINS
    else:
        os.environ[WAIT_POLICY] = "passive" if asked == "auto" else asked


def huge_pages() -> bool:
    """Whether torch asks for huge pages and the system gives them."""
    return os.environ.get(HUGE_PAGES) == "1" and given()


def given() -> bool:
    """Whether Linux gives huge pages to whoever asks."""
    try:
        return "[never]" not in THP.read_text()
    except OSError:
        return False


def wait_policy() -> str:
    """What was set: `active`, `passive`, how often a thread spins before it sleeps, or `default`
    for OpenMP's own."""
    return os.environ.get(WAIT_POLICY, os.environ.get(SPIN_COUNT, "default")).lower()


def _other_work() -> bool:
    with OtherLoad() as load:
        psutil.cpu_percent(LOOK_SECONDS)
    return load.processors > BUSY_PROCESSORS

"""Random load next to a training: it may cost time and must not change a bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

BUSY = "while True: sum(range(10_000))"
MEMORY = """
import sys, time
while True:
    block = bytearray(int(sys.argv[1]))
    for start in range(0, len(block), 4096):
        block[start] = 1
    time.sleep(1)
"""
BUILD = """
from benchmark.common.parameters import load_parameters
from benchmark.training.fit import data_module
data_module(load_parameters()).prepare_data()
"""
KINDS = ("busy", "memory", "stopped", "moved", "cold", "builder", "nice", "omp", "padding")


class Disturbance(NamedTuple):
    """The load next to one training."""

    kinds: tuple[str, ...]
    """Some of KINDS."""
    seed: int
    """Seed of the other random choices."""

    def __str__(self) -> str:
        return " ".join(self.kinds) or "none"


def draw(seed: int, number: int) -> Disturbance:
    """Draw the load of the training `number` of a soak. Every tenth training has none."""
    source = random.Random(f"{seed}/{number}")
    kinds = () if number % 10 == 0 else source.sample(KINDS, source.randint(1, 4))
    return Disturbance(tuple(sorted(kinds)), source.getrandbits(32))


def environment(disturbance: Disturbance) -> dict[str, str]:
    """Environment variables of a training: waiting and binding of threads, place of the stack."""
    source, variables = random.Random(disturbance.seed), dict(os.environ)
    variables.pop("OMP_NUM_THREADS", None)  # with one thread nothing would wait
    if "omp" in disturbance.kinds:
        variables |= {
            "OMP_WAIT_POLICY": source.choice(("active", "passive")),
            "OMP_PROC_BIND": source.choice(("false", "true", "spread")),
            "OMP_SCHEDULE": source.choice(("static", "dynamic,1", "guided")),
            "GOMP_SPINCOUNT": source.choice(("0", "1000", "infinity")),
        }
    if "padding" in disturbance.kinds:
        variables["PADDING"] = "x" * source.randrange(4096)
        variables["MALLOC_ARENA_MAX"] = str(source.randint(1, 4))
        variables["MALLOC_MMAP_THRESHOLD_"] = str(source.choice((4096, 65536, 1 << 25)))
    return variables


@contextmanager
def around(disturbance: Disturbance, workspace: Path) -> Iterator[None]:
    """Run the load from before the training begins until it has ended."""
    source = random.Random(disturbance.seed)
    if {"cold", "builder"} & set(disturbance.kinds):
        shutil.rmtree(workspace / ".cache", ignore_errors=True)
    commands: list[list[str]] = []
    if "busy" in disturbance.kinds:
        commands += [["-c", BUSY]] * source.randint(1, 3)
    if "memory" in disturbance.kinds:
        size = psutil.virtual_memory().available * source.uniform(0.01, 0.06)
        commands.append(["-c", MEMORY, str(int(size))])
    if "builder" in disturbance.kinds:
        commands.append(["-c", BUILD])
    with ExitStack() as stack:
        for command in commands:
            stack.enter_context(running([sys.executable, *command], workspace))
        yield


@contextmanager
def running(
    command: Sequence[str], directory: Path, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, and kill it when the block ends."""
    process = subprocess.Popen(command, cwd=directory, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def disturb(process: subprocess.Popen[bytes], disturbance: Disturbance, begun: Path) -> None:
    """Stop and continue `process` until it ends, and move it between processors.

    It is not moved before the file `begun` exists: only then is its number of threads final.
    """
    source, training = random.Random(disturbance.seed), psutil.Process(process.pid)
    if "nice" in disturbance.kinds:
        training.nice(training.nice() + 5)
    actions: list[Callable[[], None]] = []
    if "stopped" in disturbance.kinds:
        actions.append(lambda: _stop(process, source.uniform(0.001, 0.5)))
    if "moved" in disturbance.kinds:
        actions.append(lambda: begun.exists() and _move(training, source))  # type: ignore[arg-type]
    while process.poll() is None:
        time.sleep(source.uniform(0.01, 0.5))
        for action in actions:
            with suppress(psutil.NoSuchProcess):
                action()


def _stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def _move(process: psutil.Process, source: random.Random) -> None:
    """Move every thread of a process to all processors, or to a single one."""
    everywhere = list(range(os.cpu_count() or 1))
    chosen = source.choice([everywhere, *([number] for number in everywhere)])
    for thread in process.threads():
        with suppress(OSError):
            os.sched_setaffinity(thread.id, chosen)

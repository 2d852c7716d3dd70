"""`python -m datamodule_conformance.fork_server`: starts the processes of one run after another.

Each line of standard input is the folder of a Job, as JSON. The answer is a line of standard
output: what failed, or null.
"""

import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from datamodule_conformance.processes import Job
from datamodule_conformance.scenario import observe

with contextlib.suppress(ImportError):
    import torch_xla  # noqa: F401  Lightning imports it where it is installed, for any Trainer.

LEFT_BEHIND = ("Connection closed by peer", "Connection reset by peer")
"""What a rank says whose peer has ended, for whatever reason."""
GRACE = 5.0
"""Seconds in which the ranks that have failed as well end too, beside other work as well."""
START_METHOD = "fork" if sys.platform == "linux" else "spawn"
"""Of the ranks. macOS's own libraries may not survive a fork: there each rank imports anew."""


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints is no answer
    for line in sys.stdin:
        print(json.dumps(do(Path(json.loads(line)))), file=answers, flush=True)


def do(folder: Path) -> str | None:
    """Do the job in `folder`, a process for each rank, and leave none running; what failed."""
    job = Job.load(folder)
    context: Any = multiprocessing.get_context(START_METHOD)
    ranks = [context.Process(target=rank, args=(n, folder)) for n in range(job.scenario.ranks)]
    for process in ranks:
        process.start()
    try:
        if not _all_end(ranks, job.timeout):
            return f"no end after {job.timeout:g} s"
        codes = [process.exitcode for process in ranks]
        failures = [_failure(n, code, folder) for n, code in enumerate(codes) if code]
        return "; ".join(causes(failures)) or None
    finally:
        for process in ranks:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # and its loaders' workers
            process.kill()
            process.join()


def rank(number: int, folder: Path) -> None:
    """One process of the job in `folder`: it writes its observation and what was printed there."""
    os.setpgrp()
    printed = os.open(folder / f"printed-{number}", os.O_WRONLY | os.O_CREAT)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    job = Job.load(folder)
    _take_over(job, number)
    observation = observe(job.source, job.scenario)
    (folder / f"observation-{number}").write_bytes(pickle.dumps(observation))


def _take_over(job: Job, number: int) -> None:
    hash_seed = os.environ["PYTHONHASHSEED"]
    os.environ.clear()
    os.environ.update(job.environment, PYTHONHASHSEED=hash_seed)
    tempfile.tempdir = None  # to be found anew: the server has kept its own
    if job.scenario.ranks > 1:
        os.environ["LOCAL_RANK"] = str(number)
    # Lightning reads it from the environment when it is imported, which the server did.
    rank_zero_only.rank = number  # type: ignore[attr-defined]
    os.chdir(job.directory)
    sys.path[:] = job.path


def _all_end(ranks: list[BaseProcess], timeout: float) -> bool:
    """Wait until all have ended or one has failed: the others may wait for it. False: too late."""
    deadline = time.monotonic() + timeout
    running: dict[Any, BaseProcess] = {process.sentinel: process for process in ranks}
    while running:
        ended = wait(list(running), max(0.0, deadline - time.monotonic()))
        if not ended:
            return False
        processes = [running.pop(sentinel) for sentinel in ended]
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            for sentinel in wait(list(running), GRACE):  # the cause, if this one was left behind
                running[sentinel].join()
            return True
    return True


def causes(failures: list[str]) -> list[str]:
    """Without those that other failures brought about."""
    return [text for text in failures if not any(w in text for w in LEFT_BEHIND)] or failures


def _failure(number: int, code: int, folder: Path) -> str:
    text = (folder / f"printed-{number}").read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error: " in line]
    last = (errors or lines or ["no message"])[-1].strip()
    return f"rank {number} ended with exit code {code}: {last}"


if __name__ == "__main__":
    main()

"""One process of a pair: it trains block by block, and is stopped (SIGSTOP) between blocks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

import benchmark
from benchmark.distributed.launcher import signal_tree
from benchmark.errors.training_errors import is_out_of_memory
from benchmark.errors.user_error import UserError
from benchmark.interleave import side_process
from benchmark.interleave.side_process import PEAK_MEMORY
from benchmark.machine import variables
from benchmark.machine.schema import Memory
from benchmark.timing.loader_workers import wait_until_stopped
from benchmark.timing.schema import Block

WORKER = Path(side_process.__file__)
CODE = Path(benchmark.__path__[0]).parent
"""The folder that contains this revision's package `benchmark`."""
JOB = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
"""Variables that a launcher sets; a peer must not have them, or it would wait for other ranks."""


class OutOfMemory(UserError):
    """A process needs more memory than is available."""


class TrainingProcess:
    """A process that trains block by block. The constructor starts it; `close` must end it.

    Args:
        name: name of the process in error messages.
        code: folder that contains the package `benchmark` to run.
        peer: peer to run instead of the Trainer. It has the user's environment, without this
            suite's settings for memory and threads.
    """

    step_seconds: float
    """Seconds of a step after the warm-up; set by `warm_up`."""

    def __init__(self, name: str, code: Path = CODE, peer: str | None = None) -> None:
        self.name = name
        environment = variables.user_environment() if peer else dict(os.environ)
        for variable in JOB if peer else ():
            environment.pop(variable, None)
        environment |= {"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), *(["--peer", peer] if peer else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            process_group=0,
        )  # fmt: skip

    def warm_up(self, task: Mapping[str, Any]) -> None:
        """Send the task, wait until the process is warm, set `step_seconds`, stop the process.

        The task has `accelerator`, `parameters` (as in params.yaml) and optionally `devices` and
        `epochs_per_pass`. A process on one device can get another task after the first.

        Raises:
            UserError: the process refused the task, failed, or lacked memory (OutOfMemory).
        """
        self.step_seconds = self._resume_and_request(json.dumps(task))["step_seconds"]

    def time(self, steps: int) -> Block:
        """Resume the process, run one block of `steps` steps, stop the process, return the block.

        Raises:
            UserError: the process failed, or lacked memory (OutOfMemory).
        """
        return Block.model_validate(self._resume_and_request(str(steps)))

    def peak_memory(self) -> Memory:
        """Return the process's peak memory so far. Only a process on one device knows it.

        Raises:
            UserError: the process failed.
        """
        return Memory.model_validate(self._resume_and_request(json.dumps(PEAK_MEMORY)))

    def close(self) -> None:
        """Kill the process, its ranks and its loader processes, and close the pipes."""
        signal_tree(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()

    def _resume_and_request(self, line: str) -> dict[str, Any]:
        """Resume the process, send it a line, wait for the answer, stop it, return the answer."""
        signal_tree(self.process.pid, signal.SIGCONT)
        answer = self._request(line)
        self._stop()
        return answer

    def _request(self, line: str) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):
            print(line, file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        if "refused" in answer:
            raise UserError(f"{self.name} cannot be measured:", answer["refused"])
        if answer and "failed" not in answer:
            return answer
        status = self.process.wait()
        why: str = answer.get("failed", f"it ended with status {status}")
        if is_out_of_memory(why) or status == -signal.SIGKILL:
            raise OutOfMemory(f"{self.name}: out of memory ({why}).", "Lower data.batch_size.")
        raise UserError(f"The process of {self.name} failed: {why}.", "Its output is above.")

    def _stop(self) -> None:
        """Stop the process, its ranks and loader processes, and wait until all have stopped."""
        signal_tree(self.process.pid, signal.SIGSTOP)
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            wait_until_stopped((process, *process.children(recursive=True)))

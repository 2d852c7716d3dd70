"""One process of a pair, and how it is told to run a block or to stand still."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.errors.training_errors import is_out_of_memory
from benchmark.errors.user_error import UserError
from benchmark.interleave import side_process
from benchmark.timing.schema import Block

WORKER = Path(side_process.__file__)


class OutOfMemory(UserError):
    """What a side was asked for does not fit."""


class Side:
    """A process that trains, in a group of its own with its loaders' processes.

    It is started, and loads its modules, at once.
    """

    step_seconds: float
    """Of a warm step, known when it is warm."""

    def __init__(self, name: str, code: Path) -> None:
        self.name = name
        environment = os.environ | {"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment, process_group=0,
        )  # fmt: skip

    def warm_up(self, task: Mapping[str, Any]) -> None:
        """Train until steps are steady, then stand still.

        Raises:
            UserError: the code cannot be measured with the task, or the process failed.
            OutOfMemory: it does not fit, here or in a later block.
        """
        self.step_seconds = self._ask(json.dumps(task))["step_seconds"]
        self._stand_still()

    def time(self, steps: int) -> Block:
        """Run a block of steps; the process runs for no longer."""
        self._signal(signal.SIGCONT)
        found = self._ask(str(steps))
        self._stand_still()
        return Block.model_validate(found)

    def close(self) -> None:
        """End it and its loaders' processes."""
        self._signal(signal.SIGKILL)
        self.process.communicate()

    def _ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):
            print(line, file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        if "refused" in answer:
            raise UserError(f"{self.name} cannot be measured:", answer["refused"])
        if "failed" in answer or not answer:
            raise self._failure(answer)
        return answer

    def _failure(self, answer: Mapping[str, Any]) -> UserError:
        status = self.process.wait()
        why: str = answer.get("failed", f"it ended with status {status}")
        if is_out_of_memory(why) or status == -signal.SIGKILL:
            return OutOfMemory(f"{self.name}: out of memory ({why}).", "Lower data.batch_size.")
        return UserError(f"The process of {self.name} failed: {why}.", "Its own words are above.")

    def _stand_still(self) -> None:
        """Return when it does; the signal alone takes its time."""
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

"""Starts a measuring process and reads what it measured."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmark.common.errors import UserError
from benchmark.common.parameters import Parameters
from benchmark.common.results import read_result
from benchmark.machine.accelerators import Accelerator
from benchmark.throughput.schema import PROCESS, Measurement, NotMeasured

PROCESS_MODULE = "benchmark.throughput.process"


def measure(
    accelerator: Accelerator, parameters: Parameters, number: int
) -> Measurement | NotMeasured:
    """What process `number` measures, in a process of its own.

    Raises:
        UserError: it failed; its own words stand on standard error.
    """
    task = {
        "accelerator": accelerator.name,
        "parameters": parameters.model_dump(mode="json"),
        "number": number,
    }
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        status = _execute([sys.executable, "-m", PROCESS_MODULE, str(result)], json.dumps(task))
        if status == 0:
            return read_result(result, PROCESS)
    if status == -signal.SIGKILL:
        reason = "the process was killed (signal 9), most likely for a lack of memory"
        return NotMeasured(status="out of memory", reason=reason)
    raise UserError(
        f"{accelerator.label}: measuring process {number + 1} ended with status {status}.",
        "Its own words are above.",
    )


def _execute(command: list[str], task: str) -> int:
    """Give `task` to a process in a group of its own: should it die, the system wakes up and ends
    those of its loaders' processes that are paused. Should this process die, it ends itself."""
    with subprocess.Popen(command, 0, stdin=subprocess.PIPE, process_group=0) as process:
        assert process.stdin
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(f"{task}\n".encode())
            process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode

"""Run a measuring process from the parent, and read its result."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from benchmark.common.parameters import Parameters
from benchmark.common.results import read_result
from benchmark.common.temporary import temporary_directory
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.throughput import __main__ as process
from benchmark.throughput.schema import PROCESS, Measurement, NotMeasured, ProcessIndex, Profile

PROCESS_MODULE = process.__name__


def measure(
    accelerator: Accelerator, parameters: Parameters, index: ProcessIndex
) -> Measurement | NotMeasured:
    """Run a new process that measures speed, wait, and return its result.

    The result is a NotMeasured if the process refuses the parameters or memory is exhausted.

    Raises:
        UserError: the process failed; its output is on standard error.
    """
    result = _run(accelerator, parameters, index, f"measuring process {index.number + 1}")
    assert not isinstance(result, Profile)
    return result


def profile(accelerator: Accelerator, parameters: Parameters) -> Profile:
    """Run a new process that measures the profile; if it fails, each field is the reason."""
    try:
        result = _run(accelerator, parameters, None, "the profile's process")
    except UserError as error:
        result = NotMeasured(status="failed", reason=error.what)
    if isinstance(result, NotMeasured):
        return Profile(peak=result, overhead=result, decoding=result)
    assert isinstance(result, Profile)
    return result


def _run(
    accelerator: Accelerator, parameters: Parameters, index: ProcessIndex | None, name: str
) -> Measurement | Profile | NotMeasured:
    """Run a measuring process and return its result: without `index`, a profile."""
    task = {
        "accelerator": accelerator.name,
        "parameters": parameters.model_dump(mode="json"),
        "index": index,
    }
    with temporary_directory() as folder:
        result = folder / "result.json"
        command = [sys.executable, "-m", PROCESS_MODULE, str(result)]
        status = _execute(command, json.dumps(task), folder)
        if status == 0:
            return read_result(result, PROCESS)
    if status == -signal.SIGKILL:
        reason = "the process was killed (signal 9), most likely for a lack of memory"
        return NotMeasured(status="out of memory", reason=reason)
    raise UserError(
        f"{accelerator.label}: {name} ended with status {status}.", "Its output is above."
    )


def _execute(command: list[str], task: str, folder: Path) -> int:
    """Run `command` in a new process group, write `task` to its stdin, wait for its end.

    Return the exit status; negative if a signal ended it. Then the rest of its group is killed.
    `folder` is its TMPDIR. If this process (the parent) is killed, it kills nothing: the code in
    `measuring_process` then sees its stdin close, and kills its own group.
    """
    variables = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        command, 0, stdin=subprocess.PIPE, process_group=0, env=variables
    ) as process:
        assert process.stdin
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(f"{task}\n".encode())
            process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode

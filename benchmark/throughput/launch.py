"""Starts a measuring process and reads what it measured."""

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
from benchmark.throughput import measuring_process
from benchmark.throughput.schema import PROCESS, Measurement, NotMeasured, ProcessIndex, Profile

PROCESS_MODULE = measuring_process.__name__


def measure(
    accelerator: Accelerator, parameters: Parameters, place: ProcessIndex
) -> Measurement | NotMeasured:
    """What the process at `place` measures, in a process of its own.

    Raises:
        UserError: it failed; its own words stand on standard error.
    """
    found = _run(accelerator, parameters, place, f"measuring process {place.number + 1}")
    assert not isinstance(found, Profile)
    return found


def profile(accelerator: Accelerator, parameters: Parameters) -> Profile:
    """What is measured once; where its process fails, nothing but the reason."""
    try:
        found = _run(accelerator, parameters, None, "the profile's process")
    except UserError as error:
        found = NotMeasured(status="failed", reason=error.what)
    if isinstance(found, NotMeasured):
        return Profile(peak=found, overhead=found, decoding=found)
    assert isinstance(found, Profile)
    return found


def _run(
    accelerator: Accelerator, parameters: Parameters, place: ProcessIndex | None, name: str
) -> Measurement | Profile | NotMeasured:
    task = {
        "accelerator": accelerator.name,
        "parameters": parameters.model_dump(mode="json"),
        "place": place,
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
        f"{accelerator.label}: {name} ended with status {status}.", "Its own words are above."
    )


def _execute(command: list[str], task: str, folder: Path) -> int:
    """Give `task` to a process in a group of its own: should it die, the system wakes up and ends
    those of its loaders' processes that are paused. Should this process die, it ends itself. It
    cannot clear away then, so its temporary files lie in `folder`, which is swept."""
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

"""A training process for several devices: it launches one rank for each device.

PyTorch's launcher starts the ranks, as in a training. They inherit standard input and output from
the process that calls `launch_ranks`. Only rank 0 reads and answers.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.common.parameters import parse_parameters
from benchmark.common.temporary import temporary_directory
from benchmark.distributed import launcher, process_group
from benchmark.errors.loader_errors import explain_loader_errors
from benchmark.errors.user_error import explain_system_errors
from benchmark.timing.timer import ModeTimer


def launch_ranks(task: dict[str, Any]) -> None:
    """Launch this script as a rank for each of `task["devices"]`, and wait until all ranks end.

    The ranks read the task from a temporary file, which is removed in the end.

    Raises:
        UserError: a rank failed.
    """
    with temporary_directory() as folder:
        path = folder / "task.json"
        path.write_text(json.dumps(task))
        launcher.run(["-P", sys.argv[0], str(path)], task["devices"])


def serve(path: Path, write: Callable[[dict[str, Any]], None]) -> None:
    """Warm up, then run blocks until the standard input of rank 0 ends. All ranks call this.

    `path` is a file with the task, as JSON. Rank 0 sends its answers to the parent with `write`.

    Raises:
        SystemExit: the rank failed; the launcher reports why.
    """
    task = json.loads(path.read_text())
    parameters = parse_parameters(task["parameters"], "the task")
    trainer = parameters.trainer.model_copy(update={"devices": task["devices"], "num_nodes": 1})
    with (
        launcher.report_errors_to_launcher(),
        explain_system_errors(),
        explain_loader_errors(),
        process_group.process_group(task["accelerator"], trainer.processes),
        ModeTimer(task["accelerator"], parameters, trainer) as timer,
    ):
        is_first = process_group.get_rank() == 0
        answer: dict[str, Any] = {"step_seconds": timer.warm_up("trainer").step_seconds}
        while True:
            if is_first:
                write(answer)
            line = process_group.broadcast(sys.stdin.readline() if is_first else "")
            if not line:
                break
            answer = timer.time("trainer", int(line)).model_dump()

"""A training process of several devices: one rank for each, of which rank 0 answers.

PyTorch's launcher starts the ranks, as it starts a training's. They inherit standard input and
output from the process that calls `launch_ranks`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.common.parameters import parse_parameters
from benchmark.common.temporary import temporary_directory
from benchmark.distributed import launcher, process_group
from benchmark.timing.timer import ModeTimer


def launch_ranks(task: dict[str, Any]) -> None:
    """Run this script once for each device of the task, and wait for the end.

    Raises:
        UserError: a rank failed.
    """
    with temporary_directory() as folder:
        path = folder / "task.json"
        path.write_text(json.dumps(task))
        launcher.run(["-P", sys.argv[0], str(path)], task["devices"])


def serve(path: Path, write: Callable[[dict[str, Any]], None]) -> None:
    """In each rank: warm up and run blocks until the input of rank 0 ends.

    Raises:
        SystemExit: the rank failed; the launcher reports why.
    """
    task = json.loads(path.read_text())
    parameters = parse_parameters(task["parameters"], "the task")
    trainer = parameters.trainer.model_copy(update={"devices": task["devices"], "num_nodes": 1})
    with (
        launcher.report_errors_to_launcher(),
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

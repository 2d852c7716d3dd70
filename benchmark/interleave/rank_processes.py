"""A side of a pair on several devices: a process for each, of which the first speaks for all.

PyTorch's launcher starts them as it starts a training's. They have the side's standard input and
output from it.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmark.common.parameters import Parameters, TrainerParameters, parse_parameters
from benchmark.common.temporary import temporary_directory
from benchmark.distributed import launcher, process_group
from benchmark.timing.timer import ModeTimer

Say = Callable[[dict[str, Any]], None]
"""Writes a line of the answers."""


def launch(task: dict[str, Any]) -> None:
    """Run this script once for each device of the task, and wait for the end.

    Raises:
        UserError: a process failed, in its own words.
    """
    with temporary_directory() as folder:
        path = folder / "task.json"
        path.write_text(json.dumps(task))
        launcher.run(["-P", sys.argv[0], str(path)], task["devices"])


def serve(path: Path, say: Say) -> None:
    """In each process: warm up and run blocks until the first one's input ends.

    Raises:
        SystemExit: it failed; its launcher says why.
    """
    task = json.loads(path.read_text())
    parameters = parse_parameters(task["parameters"], "the task")
    trainer = parameters.trainer.model_copy(update={"devices": task["devices"], "num_nodes": 1})
    with (
        launcher.report_errors_to_launcher(),
        process_group.process_group(task["accelerator"], trainer.processes),
    ):
        first = process_group.get_rank() == 0
        _run(task["accelerator"], parameters, trainer, say if first else lambda _: None)


def _run(accelerator: str, parameters: Parameters, trainer: TrainerParameters, say: Say) -> None:
    with ModeTimer(accelerator, parameters, trainer) as timer:
        say({"step_seconds": timer.warm_up("trainer").step_seconds})
        for steps in _asked():
            say(timer.time("trainer", steps).model_dump())


def _asked() -> Iterator[int]:
    """What the first process reads, told to all."""
    while line := process_group.broadcast(
        sys.stdin.readline() if process_group.get_rank() == 0 else ""
    ):
        yield int(line)

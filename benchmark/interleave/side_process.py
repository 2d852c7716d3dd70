"""One side of a pair: trains with whatever revision of `benchmark` is on its path, a block at a
time.

`python -P worker.py` reads a task and then, line by line, how many steps to run; each line is
answered with what they took. It ends with its input. No revision is asked for more than a
ModeTimer, so older ones can be measured too, on one device. On several, it starts itself for each
with a file of the task.
"""

import json
import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO


def main() -> None:
    """Run the task, or say why this revision cannot."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints is no answer
    forget_installed()
    with suppress(ImportError):  # an older one has none
        from benchmark.machine import variables

        variables.offer_huge_pages()
    try:
        from benchmark.errors.user_error import UserError
        from benchmark.timing.timer import ModeTimer  # noqa: F401  whether it has one
    except ImportError as error:
        return say(answers, {"refused": f"it is too old ({error}). Name another."})
    if len(sys.argv) > 1:
        from benchmark.interleave import rank_processes

        return rank_processes.serve(Path(sys.argv[1]), partial(say, answers))
    line = sys.stdin.readline()
    if not line:
        return  # whoever started this was ended before saying what for
    task = json.loads(line)
    try:
        if task.get("devices", 1) > 1:
            launch(task, answers)
        else:
            run(task["accelerator"], task["parameters"], answers)
    except UserError as error:
        say(answers, {"refused": str(error)})
    except BrokenPipeError:
        os._exit(1)  # nobody asks any more; what is left in the pipe could not be written either
    except Exception as error:
        traceback.print_exc()
        first = next(iter(str(error).strip().splitlines()), "")
        say(answers, {"failed": f"{type(error).__name__}: {first}"})


def forget_installed() -> None:
    """An editable installation would serve, from the working tree, modules that a revision lacks:
    two revisions in one process, and nobody would know."""
    own = [f for f in sys.meta_path if "__editable__" not in getattr(f, "__module__", "")]
    sys.meta_path[:] = own


def launch(task: dict[str, Any], answers: TextIO) -> None:
    """Have a process for each device run the task; they end with this one's input.

    Raises:
        UserError: one of them failed.
    """
    from benchmark.interleave import rank_processes

    os.dup2(answers.fileno(), 1)  # theirs
    rank_processes.launch(task)


def run(accelerator: str, content: dict[str, Any], answers: TextIO) -> None:
    """Warm up, say so, and run blocks until the input ends.

    Raises:
        UserError: this revision cannot run with these parameters.
    """
    from benchmark.common.parameters import parse_parameters
    from benchmark.machine import accelerators
    from benchmark.timing.timer import ModeTimer

    parameters = parse_parameters(content, "the task")
    accelerators.prepare(accelerator)
    with ModeTimer(accelerator, parameters) as timer:
        say(answers, {"step_seconds": timer.warm_up("trainer").step_seconds})
        for line in sys.stdin:
            block = timer.time("trainer", int(line))
            say(answers, {"seconds": block.seconds, "compilations": block.compilations})


def say(answers: TextIO, answer: dict[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

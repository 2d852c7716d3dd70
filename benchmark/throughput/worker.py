"""One side of a pair: trains with whatever revision of `benchmark` is on its path, a block at a
time.

`python -P worker.py` reads a task and then, line by line, how many steps to run; each line is
answered with what they took. It ends with its input. No revision is asked for more than a
ModeTimer, so older ones can be measured too.
"""

import json
import os
import sys
import traceback
from typing import Any, TextIO


def main() -> None:
    """Run the task, or say why this revision cannot."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints is no answer
    forget_installed()
    try:
        from benchmark.common.errors import UserError
        from benchmark.throughput.timer import ModeTimer  # noqa: F401  whether it has one
    except ImportError as error:
        return say(answers, {"refused": f"it is too old ({error}). Name another."})
    line = sys.stdin.readline()
    if not line:
        return  # whoever started this was ended before saying what for
    task = json.loads(line)
    try:
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


def run(accelerator: str, content: dict[str, Any], answers: TextIO) -> None:
    """Warm up, say so, and run blocks until the input ends.

    Raises:
        UserError: this revision cannot run with these parameters.
    """
    from benchmark.common.parameters import parse_parameters
    from benchmark.machine import accelerators
    from benchmark.throughput.timer import ModeTimer

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

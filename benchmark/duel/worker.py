"""One side: trains with whatever revision of `benchmark` is on its path, a block at a time.

`python -P worker.py` reads a task and then, line by line, how many steps to run; each line is
answered with the seconds that they took. It ends with its input. No revision is asked for more
than a ModeTimer, so older ones can be measured too.
"""

import json
import os
import sys
from typing import Any, TextIO


def main() -> None:
    """Warm up, say so, and run blocks until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints is no answer
    try:
        task = json.loads(sys.stdin.readline())
        run(task["accelerator"], task["parameters"], answers)
    except (ImportError, ValueError) as error:
        say(answers, {"refused": f"{error}"})


def run(accelerator: str, content: dict[str, Any], answers: TextIO) -> None:
    """Serve one accelerator.

    Raises:
        ImportError: this revision measures otherwise.
        ValueError: it cannot run with these parameters.
    """
    from benchmark.common.parameters import parse_parameters
    from benchmark.machine import accelerators
    from benchmark.throughput.timer import ModeTimer

    parameters = parse_parameters(content, "the task")
    accelerators.prepare(accelerator)
    with ModeTimer(accelerator, parameters) as timer:
        say(answers, {"step_seconds": timer.warm_up("trainer").step_seconds})
        for line in sys.stdin:
            say(answers, {"seconds": timer.time("trainer", int(line)).seconds})


def say(answers: TextIO, answer: dict[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

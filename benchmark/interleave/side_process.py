"""The script of a TrainingProcess: train with the revision of `benchmark` on PYTHONPATH.

`python -P side_process.py` reads a task from standard input, warms up and answers. Then each line
of input is JSON. A number is one of steps: it runs them as one block and answers with the block's
time. PEAK_MEMORY asks for its peak memory. An object is another task. It ends when its input ends.
Older revisions can be measured too, on one device: of a revision it uses only
ModeTimer and a few functions, whose names must therefore stay.

For several devices it launches itself as a rank for each device, with the task's file as argument.
With `--peer NAME` it runs a peer instead of the Trainer.
"""

import gc
import json
import os
import sys
import traceback
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

PEAK_MEMORY = "peak memory"
"""Line of input that asks for the most memory that the process had in use."""


def main() -> None:
    """Read the parent's task and run it; if this revision cannot, answer with the reason."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may print into the answers
    remove_editable_finders()
    peer = sys.argv[2] if sys.argv[1:2] == ["--peer"] else None
    if not peer:
        with suppress(ImportError):  # an older revision does not have it
            from benchmark.machine import variables

            variables.offer_huge_pages()
            from benchmark.common import slim_torchmetrics

            slim_torchmetrics.install()  # a peer loads what its users load
    try:
        user_error, mode_timer = import_revision()
    except ImportError as error:
        return write(answers, {"refused": f"it is too old ({error}). Name another."})
    if len(sys.argv) == 2:
        from benchmark.interleave import rank_processes

        return rank_processes.serve(Path(sys.argv[1]), partial(write, answers))
    line = sys.stdin.readline()
    if not line:
        return  # the parent exited before sending the task
    task = json.loads(line)
    try:
        if task.get("devices", 1) > 1:
            from benchmark.interleave import rank_processes

            os.dup2(answers.fileno(), 1)  # the ranks' standard output
            rank_processes.launch_ranks(task)
        else:
            with explanations():
                if not peer:
                    import_module("benchmark.machine.accelerators").prepare(task["accelerator"])
                while task:
                    task = run(mode_timer, task, peer, answers)
                    if task:
                        # Free the network: compiled graphs keep it, and it refers to its Trainer.
                        import_module("torch").compiler.reset()
                        gc.collect()
    except user_error as error:
        write(answers, {"refused": str(error)})
    except BrokenPipeError:
        os._exit(1)  # the parent closed the pipe; Python would try to write the rest of its buffer
    except Exception as error:
        traceback.print_exc()
        first = next(iter(str(error).strip().splitlines()), "")
        write(answers, {"failed": f"{type(error).__name__}: {first}"})


def remove_editable_finders() -> None:
    """Remove the import finders of editable installations from this process.

    Such a finder would import modules that a revision lacks from the working tree, and so mix two
    revisions.
    """
    finders = [f for f in sys.meta_path if "__editable__" not in getattr(f, "__module__", "")]
    sys.meta_path[:] = finders


def import_revision() -> tuple[type[Exception], Any]:
    """Import the revision's classes UserError and ModeTimer, and return them.

    Raises:
        ImportError: the revision is older than ModeTimer.
    """
    # A duel compares today's code with revisions of the earlier layout too.
    errors = "errors.user_error" if find_spec("benchmark.errors") else "common.errors"
    timer = "timing.timer" if find_spec("benchmark.timing") else "throughput.timer"
    return (
        import_module(f"benchmark.{errors}").UserError,
        import_module(f"benchmark.{timer}").ModeTimer,
    )


def explanations() -> AbstractContextManager[object]:
    """Return a context that turns errors which the user can fix into the revision's UserErrors."""
    stack = ExitStack()
    with suppress(ImportError):  # an older revision does not have them there
        from benchmark.errors.loader_errors import explain_loader_errors
        from benchmark.errors.user_error import explain_system_errors

        stack.enter_context(explain_system_errors())
        stack.enter_context(explain_loader_errors())
    return stack


def run(
    mode_timer: Any, task: dict[str, Any], peer: str | None, answers: TextIO
) -> dict[str, Any] | None:
    """Warm up the Trainer or `peer`, answer, and run blocks; return the next task, if one comes.

    The result is None when the input ends. `mode_timer` is the revision's class ModeTimer.

    Raises:
        UserError: this revision, or the peer, cannot run with these parameters.
    """
    from benchmark.common.parameters import parse_parameters

    # An older revision does not have these arguments.
    options = {name: task[name] for name in ("epochs_per_pass",) if name in task}
    if peer:
        options["peer"] = peer
    name, parameters = peer or "trainer", parse_parameters(task["parameters"], "the task")
    with mode_timer(task["accelerator"], parameters, **options) as timer:
        write(answers, {"step_seconds": timer.warm_up(name).step_seconds})
        for line in sys.stdin:
            command = json.loads(line)
            if isinstance(command, dict):
                return command
            if command == PEAK_MEMORY:
                memory = import_module("benchmark.machine.memory")
                write(answers, memory.peak_memory(task["accelerator"]).model_dump())
                continue
            block = timer.time(name, command)
            write(answers, {"seconds": block.seconds, "compilations": block.compilations})
    return None


def write(answers: TextIO, answer: dict[str, Any]) -> None:
    """Write an answer to the parent, as one line of JSON."""
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

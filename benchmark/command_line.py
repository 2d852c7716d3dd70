"""Run a stage of dvc.yaml, compare results, or check a dataset."""

import argparse
import os
import select
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from benchmark.common.formatting import table
from benchmark.common.imports import frozen_imports
from benchmark.common.open_files import raise_limit
from benchmark.common.parameters import ACCELERATORS, Parameters, load_parameters
from benchmark.common.results import CONTROL, OWN
from benchmark.common.signals import exit_with_signal_status
from benchmark.distributed.launcher import report_errors_to_launcher
from benchmark.errors.loader_errors import explain_loader_errors
from benchmark.errors.user_error import UserError, explain_system_errors

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

PLAIN_STAGES = {
    "dataset": "fetch the pinned images and weights, and check them",
    "code": "write digests of the code that each stage runs",
    "report": "write the report on the other stages' results",
}
"""Description of each stage by its name, also the name of its module in benchmark.pipeline."""
ENVIRONMENT = "environment"
"""The stage that describes the machine with several accelerators, one after the other."""
ACCELERATOR_STAGES = {
    "train": "fine-tune and test, and write digests",
    "replay": "repeat a training's first steps and compare them bit for bit",
    "throughput": "measure training images per second",
}
"""Description of each stage that runs on an accelerator, by its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments (default: sys.argv), run the command, and return its exit status.

    UserErrors are printed as one line. Their status is 1, or 2 for `compare` and `duel`.
    """
    options = _parser().parse_args(arguments)
    raise_limit()
    try:
        with (
            exit_with_signal_status(),
            report_errors_to_launcher(),
            explain_system_errors(),
            explain_loader_errors(),
        ):
            status = _dispatch(options)
        sys.stdout.flush()  # a pipe that nobody reads is noticed here, not when Python exits
        return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if options.command in ("compare", "duel") else 1
    except BrokenPipeError:
        if not _output_has_no_reader():
            raise
        return 128 + signal.SIGPIPE


def _output_has_no_reader() -> bool:
    """Return whether stdout is a pipe that nobody reads, as after `| head`.

    If so, stdout becomes the null device: Python writes what is still in its buffer when it exits.
    """
    poll = select.poll()
    poll.register(sys.stdout, 0)
    if not any(events & select.POLLERR for _, events in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _dispatch(options: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Only its modules are imported, since torch and Lightning take seconds to load.
    """
    if options.command == "compare":
        from benchmark.compare import recorded

        return recorded.run(options.before, options.after, options.max_regression, options.markdown)
    if options.command == "duel":
        return _duel(options, load_parameters())
    if options.command == "check":
        from benchmark.audit import check

        data = load_parameters().data
        is_trained_on = os.path.realpath(options.directory) == os.path.realpath(data.root)
        cache_gib = data.cache_gib if is_trained_on else 0
        return check.run(options.directory, data.image_size, options.json, cache_gib)
    if options.command == "clean":
        from benchmark.pipeline import clean

        clean.run()
        return 0
    _run(options, load_parameters())
    return 0


def _duel(options: argparse.Namespace, parameters: Parameters) -> int:
    """Set OpenMP's wait policy, which torch reads when it is imported; then run the duel."""
    from benchmark.machine import variables

    variables.set_wait_policy(parameters.omp_wait_policy)  # the same for both revisions
    from benchmark.compare import duel

    names, files = (options.before, options.after), (options.markdown, options.json)
    return duel.run(names, options.accelerator, parameters, options.max_regression, files)


def _run(options: argparse.Namespace, parameters: Parameters) -> None:
    """Run `export` or a stage of the pipeline."""
    if options.command == "export":
        from benchmark.report import record

        for path in record.export(parameters):
            print(path)
    elif options.command in PLAIN_STAGES:
        _module(options.command).run(parameters)
    elif options.command == ENVIRONMENT:
        for name in options.accelerators or parameters.accelerators:
            _run_on(name, ENVIRONMENT, parameters)
    else:
        _run_on(options.accelerator, options.command, parameters, **_training(options, parameters))


def _training(options: argparse.Namespace, parameters: Parameters) -> dict[str, str]:
    """Return the stage's `training` as a keyword argument; empty if the stage does not have one.

    Raises:
        UserError: `training` is not `own`, `control` or one of `seeds` in params.yaml. The name is
            checked since it becomes a part of a path.
    """
    if "training" not in options:
        return {}
    if options.training != CONTROL:
        parameters.of_training(options.training)
    return {"training": options.training}


def _run_on(name: str, stage: str, parameters: Parameters, **training: str) -> None:
    """Run a stage on an accelerator.

    If the accelerator is unavailable, write that as the stage's result. If the training needs
    several processes and no launcher has started this one, start them with PyTorch's launcher.
    """
    if name not in ACCELERATORS:
        raise UserError(
            f"{name!r} is not an accelerator.", f"Choose from {', '.join(ACCELERATORS)}."
        )
    from benchmark.machine import variables

    variables.offer_huge_pages()
    variables.set_wait_policy(parameters.omp_wait_policy)
    with frozen_imports():
        from benchmark.distributed import launcher
        from benchmark.machine import accelerators
        from benchmark.pipeline import unavailable

    accelerator = accelerators.find(name)
    if not accelerator.available:
        print(f"{accelerator.label} is unavailable: {accelerator.reason}. This is recorded.")
        unavailable.run(accelerator, stage, **training)
    elif training and parameters.trainer.processes > 1 and not variables.is_launched():
        launcher.launch([stage, name, "--training", training["training"]], parameters.trainer)
    elif stage == "train" and training["training"] == CONTROL:
        _module("control").run(accelerator, parameters)
    else:
        _module(stage).run(accelerator, parameters, **training)


def _module(stage: str) -> ModuleType:
    """Import the module of a stage."""
    with frozen_imports():
        return import_module(f"benchmark.pipeline.{stage}")


def fraction(text: str) -> float:
    """Parse a number ("0.05") or a percentage ("5%"); raise ValueError if it is not in [0, 1)."""
    value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= value < 1:
        raise ValueError
    return value


def file(text: str) -> Path:
    """Parse the path of a file to write; raise ValueError if it is empty or a directory."""
    if os.path.isdir(text or "."):
        raise ValueError
    return Path(text)


def documentation() -> str:
    """Return docs/commands.md: a Markdown page of all commands with their arguments."""
    sections = [
        "# Commands\n\nRun a command with `.venv/bin/python -m benchmark COMMAND`. "
        "The parser writes this page:\n\n    .venv/bin/python -m benchmark.command_line\n"
    ]
    (commands,) = (action for action in _parser()._actions if action.choices)
    for name, command in dict(commands.choices or {}).items():
        arguments = [action for action in command._actions if action.dest != "help"]
        rows = [
            (f"`{_usage(action)}`", str(action.help).replace("%%", "%")) for action in arguments
        ]
        lines = [f"## {name}", str(command.description)]
        if rows:
            lines.append(table(("Argument", "Meaning"), rows))
        sections.append("\n\n".join(lines) + "\n")
    return "\n".join(sections)


def _usage(argument: argparse.Action) -> str:
    """Return an argument's option strings, then its value's name if it takes a value."""
    value = [] if argument.nargs == 0 else [str(argument.metavar or argument.dest)]
    return " ".join([*argument.option_strings, *value])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _add_stages(commands)
    _add(commands, "clean", "remove the decode caches; the next run makes them again")
    _add(commands, "export", "write this machine's results for another machine's report")
    check = _add(
        commands, "check", "check whether a folder is a dataset to train on", "1 if it is not"
    )
    check.add_argument("directory", type=Path, help="folder with train, val and test")
    check.add_argument("--json", action="store_true", help="print all problems as JSON")
    _add_compare(commands)
    _add_duel(commands)
    return parser


def _add(commands: "Commands", name: str, about: str, status: str = "") -> argparse.ArgumentParser:
    """Add a command and return its parser; `status` describes exit statuses other than 0."""
    description = f"{about[0].upper()}{about[1:]}." + (f" Exit status: {status}." if status else "")
    return commands.add_parser(name, help=about, description=description)


def _add_stages(commands: "Commands") -> None:
    for name, about in PLAIN_STAGES.items():
        _add(commands, name, about)
    environment = _add(commands, ENVIRONMENT, "describe the machine")
    environment.add_argument(
        "accelerators",
        nargs="*",
        metavar="accelerator",
        help=f"{', '.join(ACCELERATORS)} (default: all of params.yaml)",
    )
    for name, about in ACCELERATOR_STAGES.items():
        stage = _add(commands, name, about)
        stage.add_argument("accelerator", help=", ".join(ACCELERATORS))
        if name in ("train", "replay"):
            stage.add_argument(
                "--training",
                default=OWN,
                metavar="NAME",
                help=f"{OWN} (default), {CONTROL} (from random weights), or another seed",
            )


def _add_compare(commands: "Commands") -> None:
    status = "1 after a regression, 2 if something cannot be compared"
    compare = _add(commands, "compare", "show the changes that are larger than the noise", status)
    for side in ("before", "after"):
        compare.add_argument(side, help="git revision, directory, exported file, or machine id")
    compare.add_argument(
        "--max-regression",
        type=fraction,
        default=0.05,
        metavar="SHARE",
        help="largest share of throughput or accuracy that may be lost (default: 5%%)",
    )
    compare.add_argument(
        "--markdown", type=file, metavar="FILE", help="also write the result as Markdown"
    )


def _add_duel(commands: "Commands") -> None:
    status = "1 if the second one is slower by more than the limit, 2 if undecided"
    duel = _add(commands, "duel", "time two revisions alternately", status)
    duel.add_argument("before", help="git revision")
    duel.add_argument(
        "after", nargs="?", default=".", help="git revision (default: the working tree)"
    )
    duel.add_argument(
        "--accelerator",
        choices=ACCELERATORS,
        default="cpu",
        metavar="NAME",
        help=f"{', '.join(ACCELERATORS)} (default: cpu)",
    )
    duel.add_argument(
        "--max-regression",
        type=fraction,
        default=0.03,
        metavar="SHARE",
        help="largest share of throughput that may be lost (default: 3%%)",
    )
    for name in ("Markdown", "JSON"):
        duel.add_argument(
            f"--{name.lower()}", type=file, metavar="FILE", help=f"also write the result as {name}"
        )


if __name__ == "__main__":
    print(documentation(), end="")

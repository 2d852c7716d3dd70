"""The command line: the stages of dvc.yaml, one process each, and what compares and checks."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmark.common.parameters import ACCELERATORS, Parameters, load_parameters
from benchmark.common.results import CONTROL, OWN
from benchmark.distributed.launcher import report_errors_to_launcher
from benchmark.errors.loader_errors import explain_loader_errors
from benchmark.errors.user_error import UserError, explain_system_errors

PLAIN_STAGES = {
    "dataset": "fetch and check the pinned images and weights",
    "code": "digest the code that each stage runs",
    "report": "compare what the other stages wrote",
}
"""What each stage does, by its name, which is the name of its module in `benchmark.pipeline`."""
ACCELERATOR_STAGES = {
    "environment": "fingerprint the machine",
    "train": "fine-tune, test and digest",
    "replay": "repeat a training's first steps, bit for bit",
    "throughput": "measure training images per second",
}
"""What each stage that runs on an accelerator does, by its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with report_errors_to_launcher(), explain_system_errors(), explain_loader_errors():
            return _dispatch(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if options.command in ("compare", "duel") else 1


def _dispatch(options: argparse.Namespace) -> int:
    """Import the one command that runs: torch and Lightning take seconds to load."""
    if options.command == "compare":
        from benchmark.compare import recorded

        return recorded.run(options.before, options.after, options.max_regression, options.markdown)
    if options.command == "duel":
        return _duel(options, load_parameters())
    if options.command == "check":
        from benchmark.audit import check

        return check.run(options.directory, load_parameters().data.image_size, options.json)
    if options.command == "clean":
        from benchmark.pipeline import clean

        clean.run()
        return 0
    _run(options, load_parameters())
    return 0


def _duel(options: argparse.Namespace, parameters: Parameters) -> int:
    from benchmark.machine import variables

    variables.set_wait_policy(parameters.omp_wait_policy)  # one for both
    from benchmark.compare import duel

    names, files = (options.before, options.after), (options.markdown, options.json)
    return duel.run(names, options.accelerator, parameters, options.max_regression, files)


def _run(options: argparse.Namespace, parameters: Parameters) -> None:
    if options.command == "export":
        from benchmark.report import record

        for path in record.export(parameters):
            print(path)
    elif options.command in PLAIN_STAGES:
        import_module(f"benchmark.pipeline.{options.command}").run(parameters)
    else:
        _run_on(options.accelerator, options.command, parameters, **_training(options, parameters))


def _training(options: argparse.Namespace, parameters: Parameters) -> dict[str, str]:
    """Which of an accelerator's trainings a stage is about, if it is about one.

    Raises:
        UserError: params.yaml plans none of that name, which also names a folder.
    """
    if "training" not in options:
        return {}
    if options.training != CONTROL:
        parameters.of_training(options.training)
    return {"training": options.training}


def _run_on(name: str, stage: str, parameters: Parameters, **which: str) -> None:
    if name not in ACCELERATORS:
        raise UserError(
            f"There is no accelerator {name!r}.", f"Choose from {', '.join(ACCELERATORS)}."
        )
    from benchmark.machine import variables

    variables.offer_huge_pages()
    variables.set_wait_policy(parameters.omp_wait_policy)
    from benchmark.distributed import launcher
    from benchmark.machine import accelerators
    from benchmark.pipeline import unavailable

    accelerator = accelerators.find(name)
    if not accelerator.available:
        print(f"{accelerator.label} is unavailable: {accelerator.reason}. Recorded as such.")
        getattr(unavailable, stage)(accelerator, **which)
    elif "training" in which and parameters.trainer.processes > 1 and not variables.launched():
        launcher.launch([stage, name, "--training", which["training"]], parameters.trainer)
    elif stage == "train" and which["training"] == CONTROL:
        import_module("benchmark.pipeline.control").run(accelerator, parameters)
    else:
        import_module(f"benchmark.pipeline.{stage}").run(accelerator, parameters, **which)


def fraction(text: str) -> float:
    """A number of at least 0 and less than 1, or the same in percent ("5%")."""
    value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= value < 1:
        raise ValueError
    return value


def file(text: str) -> Path:
    """Where a file can be written; a folder is told before hours of measuring, not after."""
    if os.path.isdir(text or "."):
        raise ValueError
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, about in PLAIN_STAGES.items():
        commands.add_parser(name, help=about)
    for name, about in ACCELERATOR_STAGES.items():
        _add_arguments(name, commands.add_parser(name, help=about))
    check = commands.add_parser(
        "check", help="is a folder a dataset to train on?", description="Exits with 1 if not."
    )
    check.add_argument("directory", type=Path, help="holds train, val and test")
    check.add_argument("--json", action="store_true", help="print every problem as JSON")
    commands.add_parser("clean", help="remove the decode caches; the next run makes them anew")
    commands.add_parser("export", help="write this machine's results for the report of another")
    compare = commands.add_parser(
        "compare",
        help="what changed beyond the noise",
        description="Exits with 1 after a regression, with 2 if something cannot be compared.",
    )
    _add_sides(compare)
    duel = commands.add_parser(
        "duel",
        help="time two revisions in turns: is one slower?",
        description="Exits with 1 if more than the limit was lost, with 2 if it is undecided.",
    )
    _add_revisions(duel)
    return parser


def _add_arguments(name: str, stage: argparse.ArgumentParser) -> None:
    stage.add_argument("accelerator", help=", ".join(ACCELERATORS))
    if name in ("train", "replay"):
        stage.add_argument(
            "--training",
            default=OWN,
            metavar="NAME",
            help=f"{OWN} (default), {CONTROL} (from random weights), or a further seed",
        )


def _add_sides(compare: argparse.ArgumentParser) -> None:
    for side in ("before", "after"):
        compare.add_argument(side, help="git revision, directory, exported file, or machine id")
    compare.add_argument(
        "--max-regression",
        type=fraction,
        default=0.05,
        metavar="PART",
        help="largest part of throughput or accuracy that may be lost (default: 5%%)",
    )
    compare.add_argument("--markdown", type=file, metavar="FILE", help="write it as markdown too")


def _add_revisions(duel: argparse.ArgumentParser) -> None:
    duel.add_argument("before", help="git revision")
    duel.add_argument("after", nargs="?", default=".", help="the other (default: as it is here)")
    duel.add_argument("--accelerator", choices=ACCELERATORS, default="cpu", help="default: cpu")
    duel.add_argument(
        "--max-regression",
        type=fraction,
        default=0.03,
        metavar="PART",
        help="largest part of throughput that may be lost (default: 3%%)",
    )
    for form in ("markdown", "json"):
        duel.add_argument(f"--{form}", type=file, metavar="FILE", help=f"write it as {form} too")

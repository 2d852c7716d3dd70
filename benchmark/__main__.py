"""`python -m benchmark <stage> [accelerator]`: the stages of dvc.yaml, one process each."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmark.errors import UserError
from benchmark.parameters import ACCELERATORS, Parameters, load_parameters

PLAIN_STAGES = {
    "dataset": "fetch and check the pinned images and weights",
    "report": "compare what the other stages wrote",
}
ACCELERATOR_STAGES = {
    "environment": "fingerprint the machine",
    "train": "fine-tune, test and digest",
    "control": "train again from random weights",
    "replay": "repeat a training's first steps, bit for bit",
    "throughput": "measure training images per second",
    "pretrain": "make source weights; takes hours",
}
WHICH = ("seed", "control")
"""Options that name one of an accelerator's trainings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _dispatch(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if options.command == "compare" else 1


def _dispatch(options: argparse.Namespace) -> int:
    """Import the one command that runs: torch and Lightning take seconds to load."""
    if options.command == "compare":
        from benchmark import gate

        return gate.run(options.before, options.after, options.max_regression)
    if options.command == "synthesise":
        from benchmark.synthetic import synthesise

        synthesise(options.directory, options.seed)
    else:
        _run(options, load_parameters())
    return 0


def _run(options: argparse.Namespace, parameters: Parameters) -> None:
    if options.command == "export":
        from benchmark import record

        for path in record.export(parameters):
            print(path)
    elif options.command in PLAIN_STAGES:
        import_module(f"benchmark.{options.command}").run(parameters)
    else:
        which = {name: value for name, value in vars(options).items() if name in WHICH}
        _run_on(options.accelerator, options.command, parameters, **which)


def _run_on(name: str, stage: str, parameters: Parameters, **which: int) -> None:
    if name not in ACCELERATORS:
        raise UserError(
            f"There is no accelerator {name!r}.", f"Choose from {', '.join(ACCELERATORS)}."
        )
    from benchmark import absent, accelerators

    accelerator = accelerators.find(name)
    if accelerator.available:
        import_module(f"benchmark.{stage}").run(accelerator, parameters, **which)
    elif stage == "pretrain":
        raise UserError(
            f"{accelerator.label} is unavailable: {accelerator.reason}.", "Name another."
        )
    else:
        getattr(absent, stage)(accelerator, **which)


def fraction(text: str) -> float:
    """A number of at least 0 and less than 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise ValueError
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, summary in PLAIN_STAGES.items():
        commands.add_parser(name, help=summary)
    for name, summary in ACCELERATOR_STAGES.items():
        stage = commands.add_parser(name, help=summary)
        stage.add_argument("accelerator", help=", ".join(ACCELERATORS))
        if name in ("train", "replay"):
            which = stage.add_mutually_exclusive_group()
            which.add_argument(
                "--seed", type=int, default=argparse.SUPPRESS,
                help="one of the further seeds, not the run's",
            )  # fmt: skip
        if name == "replay":
            which.add_argument(
                "--control", action="store_true", default=argparse.SUPPRESS,
                help="the training from random weights",
            )  # fmt: skip
    commands.add_parser("export", help="write this machine's results for the report of another")
    compare = commands.add_parser(
        "compare",
        help="what changed beyond the noise",
        description="Exits with 1 after a regression, with 2 if something cannot be compared.",
    )
    for side in ("before", "after"):
        compare.add_argument(side, help="git revision, directory, exported file, or machine id")
    compare.add_argument(
        "--max-regression",
        type=fraction,
        default=0.05,
        metavar="PART",
        help="largest part of throughput or accuracy that may be lost (default: 0.05)",
    )
    synthesise = commands.add_parser("synthesise", help="draw the bundled dataset anew")
    synthesise.add_argument("directory", type=Path, help="where to write it; must not exist")
    synthesise.add_argument("--seed", type=int, default=0, help="of every picture")
    return parser


if __name__ == "__main__":
    sys.exit(main())

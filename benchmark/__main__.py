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
    "replay": "repeat the training's first steps, bit for bit",
    "throughput": "measure training images per second",
    "pretrain": "make source weights; takes hours",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _dispatch(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _dispatch(options: argparse.Namespace) -> None:
    """Import the one stage that runs: torch and Lightning take seconds to load."""
    if options.command == "synthesise":
        from benchmark.synthetic import synthesise

        synthesise(options.directory, options.seed)
        return
    parameters = load_parameters()
    if options.command in PLAIN_STAGES:
        import_module(f"benchmark.{options.command}").run(parameters)
    else:
        extra = {} if getattr(options, "seed", None) is None else {"seed": options.seed}
        _run_on(options.accelerator, options.command, parameters, **extra)


def _run_on(name: str, stage: str, parameters: Parameters, **extra: int) -> None:
    if name not in ACCELERATORS:
        raise UserError(
            f"There is no accelerator {name!r}.", f"Choose from {', '.join(ACCELERATORS)}."
        )
    from benchmark import absent, accelerators

    accelerator = accelerators.find(name)
    if accelerator.available:
        import_module(f"benchmark.{stage}").run(accelerator, parameters, **extra)
    elif stage == "pretrain":
        raise UserError(
            f"{accelerator.label} is unavailable: {accelerator.reason}.", "Name another."
        )
    else:
        getattr(absent, stage)(accelerator, **extra)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, summary in PLAIN_STAGES.items():
        commands.add_parser(name, help=summary)
    for name, summary in ACCELERATOR_STAGES.items():
        stage = commands.add_parser(name, help=summary)
        stage.add_argument("accelerator", help=", ".join(ACCELERATORS))
        if name == "train":
            stage.add_argument("--seed", type=int, help="one of the further seeds, not the run's")
    synthesise = commands.add_parser("synthesise", help="draw the bundled dataset anew")
    synthesise.add_argument("directory", type=Path, help="where to write it; must not exist")
    synthesise.add_argument("--seed", type=int, default=0, help="of every picture")
    return parser


if __name__ == "__main__":
    sys.exit(main())

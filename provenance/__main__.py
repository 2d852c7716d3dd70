"""`python -m provenance images DIRECTORY` and `python -m provenance weights ACCELERATOR`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.common.parameters import ACCELERATORS
from benchmark.errors.user_error import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a UserError is printed and gives 1."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "images":
            from provenance.synthetic import synthesise

            synthesise(options.directory, options.seed)
        else:
            from benchmark.machine.accelerators import find
            from provenance.pretrain import RECIPE, pretrain

            pretrain(find(options.accelerator), RECIPE)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m provenance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    images = commands.add_parser("images", help="draw the bundled dataset again")
    images.add_argument("directory", type=Path, help="where to write it; must not exist")
    images.add_argument("--seed", type=int, default=0, help="seed of all pictures")
    weights = commands.add_parser("weights", help="train the source weights; takes hours")
    weights.add_argument("accelerator", choices=ACCELERATORS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

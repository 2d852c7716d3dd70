"""`python -m tests.soak.networks [--write]`: train each of torchvision's classifiers for one step.

Each is trained at the smallest size that it can process; the largest needs 12 GB of memory. The
rows must be those of the table in docs/networks.md; `--write` replaces that table.
"""

import argparse
import sys
import warnings

from torchvision import models

from benchmark.common.files import write_text
from benchmark.common.formatting import table
from tests import REPOSITORY
from tests.support.networks import smallest_size, train_one_step

PAGE = REPOSITORY / "docs/networks.md"
START, END = "<!-- table of networks -->\n", "<!-- end of table -->\n"
HEADER = (
    "Network", "Million weights without the head", "Head", "Head's input", "Smallest image size",
    "Draws masks",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Train every network; return 1 if the page's table differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into the page")
    options, rows = parser.parse_args(arguments), []
    warnings.simplefilter("ignore")  # torchvision's, about its own initialisation
    for name in models.list_models(module=models):
        rows.append(train_one_step(name, smallest_size(name)))
        print(*rows[-1], flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    new = f"{before}{START}\n{table(HEADER, rows)}\n\n{END}{after}"
    if options.write:
        write_text(PAGE, new)
    print(f"{len(rows)} networks trained; the page's table {'is' if text == new else 'differs'}.")
    return int(text != new and not options.write)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

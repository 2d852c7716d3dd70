"""`python -m benchmark.report.readme`: update the README's results from reports/comparison.json."""

import re
from pathlib import Path

from benchmark.common.files import write_text
from benchmark.common.formatting import literal, table
from benchmark.common.numbers import percent
from benchmark.common.results import REPORTS
from benchmark.report import rows
from benchmark.report.comparison_schema import Comparison

README = Path("README.md")
MARKED = re.compile(r"<!-- results of machine (\w*) -->\n.*<!-- end of results -->\n", re.DOTALL)
COLUMNS = ("accelerator", "device", "rate", "accuracy", "control", "time")


def update_results(readme: str, comparison: Comparison) -> str:
    """Return the README's text with the results of `comparison` between its marks."""
    images = comparison.dataset.images["test"]
    cells = [[*map(literal, rows.cells(e, COLUMNS))] for e in comparison.accelerators]
    block = (
        f"<!-- results of machine {machine(comparison)} -->\n"
        f"{table(rows.header(comparison, COLUMNS), cells)}\n\n"
        "(Brackets are 95% intervals: of the speed in one measuring session, of the accuracy "
        f"over {images} test images; chance is {percent(1 / comparison.dataset.classes, 0)}.)\n\n"
        "<!-- end of results -->\n"
    )
    return MARKED.sub(lambda _: block, readme)


def machine(comparison: Comparison) -> str:
    """Return the id of the machine that was measured; empty if nothing was."""
    return comparison.present[0].machine if comparison.present else ""


if __name__ == "__main__":
    content = (REPORTS / "comparison.json").read_bytes()
    text = README.read_text(encoding="utf-8")
    write_text(README, update_results(text, Comparison.model_validate_json(content)))

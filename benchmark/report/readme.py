"""`python -m benchmark.report.readme`: the README's results anew, from reports/comparison.json."""

import re
from pathlib import Path

from benchmark.common.files import write_text
from benchmark.common.formatting import literal, table
from benchmark.common.numbers import duration
from benchmark.common.results import REPORTS
from benchmark.report.schema import Absent, Comparison, Entry
from benchmark.report.wording import share, speed

README = Path("README.md")
MARKED = re.compile(r"<!-- results of machine (\w*) -->\n.*<!-- end of results -->\n", re.DOTALL)
HEADER = (
    "Accelerator", "Device", "Training images/s", "Test accuracy", "From random weights",
    "Training time",
)  # fmt: skip


def renewed(readme: str, comparison: Comparison) -> str:
    """A README with the results of `comparison` between its marks."""
    begin = f"<!-- results of machine {machine(comparison)} -->"
    block = f"{begin}\n{results(comparison)}\n<!-- end of results -->\n"
    return MARKED.sub(lambda _: block, readme)


def machine(comparison: Comparison) -> str:
    """Whose results they are."""
    return comparison.present[0].machine if comparison.present else ""


def results(comparison: Comparison) -> str:
    """A table of the accelerators, and what its figures are."""
    images = comparison.dataset.images["test"]
    return (
        f"{table(HEADER, [_cells(entry) for entry in comparison.accelerators])}\n\n"
        "(Brackets are 95% intervals: of the speed in one session of measuring, of the accuracy "
        f"over {images} test images; chance is {1 / comparison.dataset.classes:.0%}.)\n"
    )


def _cells(entry: Entry | Absent) -> list[str]:
    if isinstance(entry, Absent):
        return [entry.label, f"unavailable: {literal(entry.reason)}", *["-"] * (len(HEADER) - 2)]
    training, control = entry.training, entry.control
    return [
        entry.label,
        literal(entry.device),
        speed(entry.throughput),
        share(training.test_accuracy),
        share(control.test_accuracy) if control else "-",
        f"{duration(training.seconds)}, {training.epochs} epochs",
    ]


if __name__ == "__main__":
    found = (REPORTS / "comparison.json").read_bytes()
    text = README.read_text(encoding="utf-8")
    write_text(README, renewed(text, Comparison.model_validate_json(found)))

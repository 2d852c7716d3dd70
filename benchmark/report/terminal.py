"""The comparison as a terminal shows it: the verdict, a table, and where the page lies."""

import sys
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from benchmark.errors.user_error import visible
from benchmark.report.schema import Absent, Comparison, Entry
from benchmark.report.wording import against, goal, share, speed, to_target

PIPED = 160
"""Columns where there is no terminal: nothing is folded that a program or a log would show."""


def show(comparison: Comparison, page: str, file: TextIO | None = None) -> None:
    """Print it to `file`, else to standard output; `page` is where the rest is to be read."""
    file = file or sys.stdout
    width = None if file.isatty() else PIPED
    console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
    console.print(visible(comparison.summary), style="bold", soft_wrap=True)
    for flag in comparison.flags:
        console.print(visible(flag), style="yellow", soft_wrap=True)
    console.print(_table(comparison))
    console.print(f"The whole report: {page}", soft_wrap=True)


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    headers = (
        "Accelerator", "Images/s", f"Relative to {comparison.reference or 'another'}",
        "Test accuracy", f"To {goal(comparison.target_accuracy)} validation accuracy",
    )  # fmt: skip
    for header in headers:
        table.add_column(visible(header))
    for entry in comparison.accelerators:
        table.add_row(*map(visible, _cells(entry)))
    return table


def _cells(entry: Entry | Absent) -> list[str]:
    if isinstance(entry, Absent):
        return [entry.label, f"unavailable: {entry.reason}", "-", "-", "-"]
    return [
        entry.label,
        speed(entry.throughput),
        against(entry.throughput),
        share(entry.training.test_accuracy),
        to_target(entry.training),
    ]

"""Prints the comparison: the verdict and a table."""

import sys
from typing import TextIO

from rich import box
from rich.table import Column, Table

from benchmark.common.progress import console
from benchmark.errors.user_error import visible
from benchmark.report import rows
from benchmark.report.comparison_schema import Comparison

COLUMNS = ("accelerator", "rate", "ratio", "accuracy", "target")


def show(comparison: Comparison, file: TextIO | None = None) -> None:
    """Print the comparison to `file`, by default to standard output."""
    output = console(file or sys.stdout)
    output.print(visible(comparison.summary), style="bold", soft_wrap=True)
    for flag in comparison.flags:
        output.print(visible(flag), style="yellow", soft_wrap=True)
    names = map(visible, rows.header(comparison, COLUMNS))
    columns = [Column(name, overflow="fold") for name in names]  # no number may be cut
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for entry in comparison.accelerators:
        table.add_row(*map(visible, rows.cells(entry, COLUMNS)))
    output.print(table)

"""Prints the comparison: the verdict, a table, and the path of the page."""

import sys
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from benchmark.errors.user_error import visible
from benchmark.report import rows
from benchmark.report.comparison_schema import Comparison

PIPED = 160
"""Width in columns if the output is not a terminal: a program or a log needs unbroken lines."""
COLUMNS = ("accelerator", "rate", "ratio", "accuracy", "target")


def show(comparison: Comparison, page: str, file: TextIO | None = None) -> None:
    """Print the comparison to `file`, by default to standard output.

    Args:
        comparison: the comparison of all records.
        page: path of the complete report.
        file: stream to print to.
    """
    file = file or sys.stdout
    width = None if file.isatty() else PIPED
    console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
    console.print(visible(comparison.summary), style="bold", soft_wrap=True)
    for flag in comparison.flags:
        console.print(visible(flag), style="yellow", soft_wrap=True)
    table = Table(*map(visible, rows.header(comparison, COLUMNS)), box=box.SIMPLE_HEAD)
    for entry in comparison.accelerators:
        table.add_row(*map(visible, rows.cells(entry, COLUMNS)))
    console.print(table)
    console.print(f"The complete report: {page}", soft_wrap=True)

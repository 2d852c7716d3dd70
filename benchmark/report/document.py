"""The report as sections of sentences, tables and charts: the same for Markdown and the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.report.pictures import Sheets
from benchmark.throughput.schema import StepShares


class CodeSpan(str):
    """A text that is code."""

    __slots__ = ()


class Prose(str):
    """The project's own text, with code between backticks. Any other str is rendered literally."""

    __slots__ = ()


@dataclass(frozen=True)
class BulletList:
    """Sentences, each with the name of its subject; the name may be empty."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of cells."""

    name: str
    """Name of the table for a screen reader."""
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    heads: int = 1
    """Number of leading cells that name a row."""


@dataclass(frozen=True)
class ChartBlock:
    """A chart of charts.py, by its name there."""

    name: str
    caption: str
    alternative: str
    """Description of the chart for a screen reader."""


@dataclass(frozen=True)
class ShareBar:
    """A bar that is divided by where the time of one accelerator's step goes."""

    label: str
    shares: StepShares


Content = str | BulletList | Table | ChartBlock | ShareBar | Sheets
"""A str is a paragraph. Markdown leaves out Sheets, which are images."""


@dataclass(frozen=True)
class DocumentSection:
    """A heading with its content."""

    id: str
    heading: str
    content: Sequence[Content]


@dataclass(frozen=True)
class Document:
    """The complete report."""

    title: str
    verdict: str
    flags: Sequence[str]
    answer: Sequence[Content]
    """The content before the first heading."""
    sections: Sequence[DocumentSection]

"""The comparison as a reader meets it: sections of sentences, tables and charts, in one order and
in the same words for every form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from benchmark.report.pictures import Sheets
from benchmark.throughput.schema import StepShares

Kind = Literal["paragraph", "lines", "table", "chart", "shares", "terms", "pictures"]


class Code(str):
    """A word that is code."""

    __slots__ = ()


class Marked(str):
    """The project's own words, in which code stands between backticks. All other text is shown as
    it is."""

    __slots__ = ()


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    kind: ClassVar[Kind] = "paragraph"
    text: str


@dataclass(frozen=True)
class Lines:
    """A list of sentences, each about what is named before it; empty if it is about nothing by
    name."""

    kind: ClassVar[Kind] = "lines"
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of cells."""

    kind: ClassVar[Kind] = "table"
    name: str
    """What it is of."""
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    heads: int = 1
    """Leading cells that name a row."""


@dataclass(frozen=True)
class Chart:
    """One of charts.py, by its name."""

    kind: ClassVar[Kind] = "chart"
    name: str
    caption: str
    words: str
    """What it shows, for those who do not see it."""


@dataclass(frozen=True)
class Shares:
    """Where a step's time goes, a bar for each accelerator."""

    kind: ClassVar[Kind] = "shares"
    steps: Sequence[tuple[str, StepShares]]


@dataclass(frozen=True)
class Terms:
    """Words and what they mean."""

    kind: ClassVar[Kind] = "terms"
    terms: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Pictures:
    """Images of the test split; only a page has them."""

    kind: ClassVar[Kind] = "pictures"
    sheets: Sheets


Block = Paragraph | Lines | Table | Chart | Shares | Terms | Pictures


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    id: str
    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class View:
    """The whole report."""

    title: str
    verdict: str
    flags: Sequence[str]
    answer: Sequence[Block]
    """What stands before the first heading."""
    sections: Sequence[Section]

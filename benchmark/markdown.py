"""Pieces of a Markdown page."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells may hold anything."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def plain(text: str) -> str:
    """Text on one line, in which no HTML begins."""
    return text.replace("<", "&lt;").replace("\n", " ")


def duration(seconds: float) -> str:
    """Whole seconds, in minutes if there are that many."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _cell(text: str) -> str:
    return plain(text).replace("|", "\\|")

"""Texts as they are shown: on one line, or as pieces of a Markdown page."""

import re
from collections.abc import Sequence

from benchmark.errors.user_error import visible

CODE_OR_TAG = re.compile(r"(?<!\\)`[^`]*`|<")
"""A code span, whose first backtick is not escaped, or the beginning of a tag."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; what a cell holds may be Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def plain(text: str) -> str:
    """Text on one line, in which no HTML begins. In Markdown's code spans nothing is escaped."""
    line = visible(" ".join(text.splitlines()))
    return CODE_OR_TAG.sub(lambda match: "&lt;" if match[0] == "<" else match[0], line)


def literal(text: str) -> str:
    """Text of others, nothing of which is Markdown; within a word an underscore is none."""
    return re.sub(r"([\\`*\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


def p_value(p: float) -> str:
    """With what it is; tiny ones depend on what a test assumes."""
    return f"p = {p:.2g}" if p >= 1e-6 else "p below 1e-06"


def _cell(text: str) -> str:
    return plain(text).replace("|", "\\|")

"""Text for a terminal line or a Markdown page."""

import re
from collections.abc import Sequence

from benchmark.errors.user_error import visible

CODE_OR_TAG = re.compile(r"(?<!\\)`[^`]*`|<")
"""Matches a Markdown code span whose first backtick is not escaped, or the beginning of a tag."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; cells may contain Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def plain(text: str) -> str:
    """Return `text` on one line, with `<` escaped except in Markdown's code spans."""
    line = visible(" ".join(text.splitlines()))
    return CODE_OR_TAG.sub(lambda match: "&lt;" if match[0] == "<" else match[0], line)


def literal(text: str) -> str:
    """Return `text` with Markdown's special characters escaped, except underscores within words."""
    return re.sub(r"([\\`*\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


def tidy(text: str) -> str:
    """Return `text` as pre-commit's whitespace hooks leave a file.

    No line ends with white space, every line ends with "\\n", and none is empty at the end.
    """
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n") + "\n"


def p_value(p: float) -> str:
    """Return "p = ..." with two digits, or "p below 1e-06".

    A smaller p-value depends on the test's assumptions more than on the data.
    """
    return f"p = {p:.2g}" if p >= 1e-6 else "p below 1e-06"


def _cell(text: str) -> str:
    return plain(text).replace("|", "\\|")

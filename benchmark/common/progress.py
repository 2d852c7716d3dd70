"""What is a terminal, and progress on it; a log gets one plain line per update instead."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.progress import track as rich_track

T = TypeVar("T")
PIPED = 160
"""Width of a log in columns: a program or a reader of a log needs unbroken lines."""


def is_terminal(stream: TextIO) -> bool:
    """Return whether `stream` can show a progress bar, which needs control codes.

    It is a terminal other than TERM=dumb, and not of a CI job (CI=true), which records it. Neither
    FORCE_COLOR nor COLUMNS makes a terminal of a file or pipe.
    """
    is_dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    return stream.isatty() and not is_dumb and not in_ci


def console(stream: TextIO) -> Console:
    """Return rich's console for `stream`: a log has no control codes and is PIPED columns wide.

    A log has colours if FORCE_COLOR is set. NO_COLOR removes colours everywhere.
    """
    terminal = is_terminal(stream)
    colours = os.environ.get("FORCE_COLOR") and not os.environ.get("NO_COLOR")
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if terminal else "standard" if colours else None,
        width=None if terminal else PIPED,
        highlight=False,
        markup=False,
        emoji=False,
    )


@contextmanager
def progress(
    total: int, beginning: str, log: TextIO | None = None
) -> Iterator[Callable[[str], None]]:
    """Show a progress bar; yield a function that advances it by one step and sets its text.

    The bar is on stderr. Without a terminal, the function prints its text to `log` (default:
    stdout) instead. There may be fewer than `total` steps.
    """
    terminal = is_terminal(sys.stderr)
    with Progress(console=console(sys.stderr), disable=not terminal) as bars:
        bar = bars.add_task(beginning, total=total)

        def advance(words: str) -> None:
            bars.update(bar, advance=1, description=words)
            if not terminal:
                print(words, file=log, flush=True)

        yield advance


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items with a progress bar on stderr; without a terminal, print nothing."""
    silent = not is_terminal(sys.stderr)
    return iter(rich_track(items, description, total, console=console(sys.stderr), disable=silent))

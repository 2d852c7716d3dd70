"""A progress bar with words for long measurements; lines if there is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def progress(total: int, beginning: str) -> Iterator[Callable[[str], None]]:
    """Yield a function to call after each part with a text.

    Args:
        total: expected number of parts; there may be fewer.
        beginning: text before the first part.
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(beginning, total=total)

        def advance(words: str) -> None:
            bars.update(bar, advance=1, description=words)
            if not console.is_terminal:
                print(words, flush=True)

        yield advance

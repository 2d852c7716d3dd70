"""A progress bar with text for long measurements; without a terminal, one line per update."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def progress(total: int, beginning: str) -> Iterator[Callable[[str], None]]:
    """Show a progress bar; yield a function that advances it by one step and sets its text.

    Without a terminal, the function prints its text instead. There may be fewer than `total` steps.
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(beginning, total=total)

        def advance(words: str) -> None:
            bars.update(bar, advance=1, description=words)
            if not console.is_terminal:
                print(words, flush=True)

        yield advance

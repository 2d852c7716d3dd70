"""A bar that says in words how far a long measurement has come; lines where no terminal is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def progress(total: int, beginning: str) -> Iterator[Callable[[str], None]]:
    """What to call after each part, of which there are `total` at most or about."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(beginning, total=total)

        def tell(words: str) -> None:
            bars.update(bar, advance=1, description=words)
            if not console.is_terminal:
                print(words, flush=True)

        yield tell

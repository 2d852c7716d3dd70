"""Directory listings in reverse order, since another file system may list in any order."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch


class _ReversedEntries(contextlib.AbstractContextManager["_ReversedEntries"]):
    """The iterator that os.scandir returns, from the last entry to the first."""

    def __init__(self, entries: Any) -> None:
        with entries:
            self._entries = reversed(list(entries))

    def __iter__(self) -> "_ReversedEntries":
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: the directory is closed already."""


@contextlib.contextmanager
def reverse_listings() -> Iterator[None]:
    """Let os.listdir and os.scandir, and so glob and pathlib, list in reverse order."""
    listdir, scandir = os.listdir, os.scandir
    with (
        patch.object(os, "listdir", lambda *a, **named: listdir(*a, **named)[::-1]),
        patch.object(os, "scandir", lambda *a, **named: _ReversedEntries(scandir(*a, **named))),
    ):
        yield

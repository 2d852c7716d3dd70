"""Folders that list their files in another order, as another file system does."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch


class _Entries(contextlib.AbstractContextManager["_Entries"]):
    """What os.scandir returns, from the last entry to the first."""

    def __init__(self, entries: Any) -> None:
        with entries:
            self._reversed = iter(list(entries)[::-1])

    def __iter__(self) -> "_Entries":
        return self

    def __next__(self) -> Any:
        return next(self._reversed)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""


@contextlib.contextmanager
def relisted() -> Iterator[None]:
    """Within, os.listdir and os.scandir, and so glob and pathlib, list in reverse."""
    listdir, scandir = os.listdir, os.scandir
    with (
        patch.object(os, "listdir", lambda *a, **named: listdir(*a, **named)[::-1]),
        patch.object(os, "scandir", lambda *a, **named: _Entries(scandir(*a, **named))),
    ):
        yield

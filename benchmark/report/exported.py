"""A file that another machine exported: JSON to the letter, and not too large or deep to read."""

import json
from pathlib import Path
from typing import Any, NoReturn

LARGEST = 32 * 2**20
"""Bytes: a million steps of training take about so many."""


def read(path: Path) -> Any:
    """What it holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, too large, or no such JSON.
    """
    try:
        found = json.loads(_content(path), object_pairs_hook=_once, parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be written
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def _content(path: Path) -> bytes:
    """A link may lead to what has no end."""
    if not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values one would be dropped silently."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it holds {key!r} twice")
        found[key] = value
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")

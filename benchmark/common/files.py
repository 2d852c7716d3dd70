"""Files that are either whole or not there: written under a temporary name, then renamed."""

import csv
import glob
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Replace `path` by what `parts` hold together; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    except OSError as error:
        if error.errno and not error.filename:  # a full disk's error names none
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8. Bytes of a file's name that are no text become escapes,
    which JSON reads again."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by `value` as JSON that git can diff: indented, keys in their given order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def write_csv(path: Path, header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Replace `path` by a CSV table with a header line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def sha256(path: Path) -> str:
    """The hex digest of the bytes of `path`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move(path: Path, target: Path) -> None:
    """Put the file or directory `path`, if it is there, in the place of `target`."""
    if not path.exists():
        return
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` that takes its place when the block ends without an error.

    A directory that is already at `path` is replaced; after an error it is untouched.
    """
    temporary = _temporary(path)
    temporary.mkdir(parents=True)  # not tempfile's, which no other user could read
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    """A name of this process's own beside `path`; what killed processes left there is removed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = left.name.split(".")[-3]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")

"""Atomic writes of files and directories: write a temporary one, fsync it, then rename it."""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from io import BufferedRandom
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from benchmark.common.temporary import locked_directory, name_in_errors
from benchmark.errors.user_error import UserError

PREVIOUS = "previous"
"""Name, in the temporary directory, of the old directory while the new one replaces it."""
FSYNC_THREADS = 16
"""Threads that call fsync. They share the file system's journal writes: 2,000 files take 0.4 s
instead of 4 s on ext4."""


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Replace the file `path` by the joined `parts`; create its directory if it is missing.

    After a crash or a power cut, `path` has its old content or the new content.
    """
    with new_file(path) as file:
        file.writelines(parts)


@contextmanager
def new_file(path: Path) -> Iterator[BufferedRandom]:
    """Yield an empty file, which replaces `path` when the `with` block ends without an error.

    After an error, a crash or a power cut, `path` has its old content or the new content. Its
    directory is created if it is missing.
    """
    with _staging(path) as staging, name_in_errors(path):
        with (new := staging / "new").open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _fsync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` by `text` in UTF-8.

    Lone surrogates (Python's form of file name bytes that are not UTF-8) become `\\udcXX` escapes,
    which a JSON parser reads.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file `path` by `value` as indented JSON; keys keep their order.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in the file `path`."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def read_yaml(path: Path) -> Any:
    """Return the content of the YAML file `path`, with the values that DVC reads from it.

    Raises:
        UserError: the file is not YAML in UTF-8; the message names the line.
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    try:
        # DVC's parser: YAML 1.2. In PyYAML's 1.1, 010 is 8, 1e-3 is a text and 12:30 is 750.
        return YAML(typ="safe").load(content.decode())
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8.", "Save it as UTF-8.") from None
    except Exception as error:  # a value like 2024-13-01 raises other types
        if b"<<<<<<< " in content:
            raise UserError(
                f"{path} has the marks of a merge conflict.",
                f"Keep one version: git checkout --ours {path} (or --theirs), then git add {path}.",
            ) from None
        problem = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MarkedYAMLError) and error.problem_mark:
            problem = f"line {error.problem_mark.line + 1}: {error.problem}"
        raise UserError(f"{path} is not YAML: {problem}.", "Fix the syntax.") from None


def write_csv(path: Path, header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Replace the file `path` by a CSV table: one line for `header`, then the `rows`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of the file `path`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move(path: Path, target: Path) -> None:
    """Move the file or directory `path` to `target`, which is replaced.

    Do nothing if `path` does not exist.
    """
    if not path.exists():
        return
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory, which replaces `path` when the `with` block ends without an error.

    After an error, `path` is unchanged. If the process is killed, `path` is unchanged, replaced or
    absent. If it is absent, the next call restores the old directory.
    """
    with _staging(path) as staging:
        (new := staging / "new").mkdir()
        yield new
        with ThreadPoolExecutor(FSYNC_THREADS) as pool:
            list(pool.map(_fsync, [*new.rglob("*"), new]))
        if os.path.lexists(path):
            path.rename(staging / PREVIOUS)
        new.rename(path)
        _fsync(path.parent)


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """Yield a locked temporary directory next to `path`, which is removed when the block ends.

    First remove the temporary directories that killed processes left. If one of them contains the
    old `path` and `path` is missing, move it back.
    """

    def restore(abandoned: Path) -> None:
        if (abandoned / PREVIOUS).exists() and not path.exists():
            (abandoned / PREVIOUS).rename(path)

    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with name_in_errors(path):
            staging = stack.enter_context(locked_directory(path.parent, f".{path.name}.", restore))
        yield staging


def _fsync(path: Path) -> None:
    """Call fsync on a file or a directory; ignore errors of a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError) if path.is_dir() else nullcontext():
            os.fsync(descriptor)  # not every file system can do this for a directory
    finally:
        os.close(descriptor)

"""Read the images of a dataset on all processors: facts and pixels come from one decode."""

import errno
import hashlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.common.progress import is_terminal, progress
from benchmark.data.decoding import Header, Shape, ValueRange, fit, load, merge, read_header
from benchmark.data.examination import ImageFacts, examine
from benchmark.data.facts import FactStore
from benchmark.data.stored_shape import count_reduced, stored_shape
from benchmark.errors.user_error import UserError
from benchmark.machine.processors import processor_count

R = TypeVar("R")
T = TypeVar("T")
NO_HEADER = Header(0, 0, False)
"""Stands for the header of a file that cannot be read as an image."""
CHUNK, CHUNKS = 32, 64
"""A thread or process takes CHUNK images at a time, or less: each gets CHUNKS times work, so that
all end at about the same time."""
FEW = 200
"""Up to this number of images, no processes are started."""
QUIET = 1000
"""Up to this number of images, a log gets no lines of progress. A measurement of throughput reads
fewer, several times."""
UPDATES = 20
"""Number of lines of progress."""


def map_with_progress(
    action: Callable[[T], R], items: Sequence[T], pool: Executor, words: str
) -> Iterator[R]:
    """Yield `action(item)` for each item, computed by `pool`, with a progress bar on stderr.

    An exception of `action` is raised, and the items that wait are left out.
    """
    if not items:
        return
    size = max(1, min(CHUNK, len(items) // (CHUNKS * processor_count())))
    chunks = [items[first : first + size] for first in range(0, len(items), size)]
    step = -(-len(chunks) // UPDATES)
    is_wanted = len(items) > QUIET or is_terminal(sys.stderr)
    with progress(UPDATES, words, log=sys.stderr) as update:  # stdout may be JSON
        for number, results in enumerate(pool.map(partial(_map, action), chunks), start=1):
            if is_wanted and number % step == 0:
                update(f"{words}: {min(number * size, len(items)):,} of {len(items):,}")
            yield from results


def _map(action: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [*map(action, items)]


class PixelRows:
    """The array of a cache's pixels while it is built, uint8 (n, height, width, 3), in a file.

    A row has the name of what its pixels depend on, and an empty name as long as it has no pixels.
    """

    names: list[str]
    """The name of each row, set after it was written."""

    def __init__(
        self, path: Path, count: int, shape: Shape, sources: Mapping[str, NDArray[np.uint8]]
    ) -> None:
        """Create the file `path` for `count` images of `shape`; `sources` are rows to copy."""
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, *shape, 3))
        self._start = array.offset
        self._file = path.open("r+b", buffering=0)
        self._sources = sources
        self.names = [""] * count

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def copy(self, position: int, name: str) -> bool:
        """Copy the row of this name to `position`; return whether there is one.

        Raises:
            OSError: the disk is full.
        """
        if name not in self._sources:
            return False
        self.write(position, self._sources[name])
        return True

    def write(self, position: int, pixels: NDArray[np.uint8]) -> None:
        """Write a row, from any process. A memory map would cause a page fault at each new page.

        Raises:
            OSError: the disk is full.
        """
        start = self._start + position * pixels.nbytes
        if os.pwrite(self._file.fileno(), pixels.data, start) < pixels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)


class ImageReader:
    """Reads images into a FactStore and into the rows of a cache, each file once.

    It decodes only what is missing in both and in the rows that can be copied.
    """

    shapes: NDArray[np.int32]
    """True height and width of each image in pixels, (n, 2); 0 where it is not readable."""
    shape: Shape
    """Height and width in which the images are stored."""
    scale: ValueRange | None = None
    """The range of the values of all images of more than 8 bits; None if there are none."""

    def __init__(
        self, paths: tuple[Path, ...], store: FactStore, image_size: int, *, is_strict: bool
    ) -> None:
        """Read the headers of new images, and decode those of more than 8 bits for `scale`.

        Args:
            paths: the images of a dataset.
            store: their facts, to which those of new images are added.
            image_size: height and width of what the model sees, in pixels.
            is_strict: whether an image that cannot be decoded is an error, and not only a fact.

        Raises:
            UserError: `is_strict`, and an image cannot be decoded.
        """
        self._paths, self._store, self._is_strict = paths, store, is_strict
        self._image_size = image_size
        self._rows: PixelRows | None = None
        self._headers = self._all_headers()
        shapes = [header[:2] for header in self._headers]
        self.shapes = np.array(shapes, np.int32).reshape(-1, 2)
        readable = self.shapes[self.shapes.any(axis=1)]
        self.shape = stored_shape(readable, image_size) if len(readable) else (1, 1)
        deep = [number for number, header in enumerate(self._headers) if header.deep]
        self.read_unknown(deep)
        facts = [store.of_path(paths[number]) for number in deep]
        self.scale = merge(ValueRange(*f.values[::3]) for f in facts if f and f.values)

    def read_unknown(self, positions: Iterable[int] | None = None) -> None:
        """Read the images whose facts are not known, of those at `positions` (default: all)."""
        if positions is None:
            positions = range(len(self._paths))
        self._read_all([i for i in positions if self._usable_facts(self._paths[i]) is None])

    def read_rows(self, rows: PixelRows) -> None:
        """Write the pixels of all images to `rows`, and read the facts that are not known.

        Raises:
            UserError: the reader is strict, and an image cannot be decoded.
            OSError: the disk is full.
        """
        if smaller := count_reduced(self.shapes, self._image_size):
            height, width = self.shape
            print(
                f"{smaller:,} of {len(self.shapes):,} images lose pixels: all are stored in "
                f"{width} x {height}, at most twice the median size.",
                file=sys.stderr,
            )
        self._rows = rows
        self._read_all(range(len(self._paths)))

    def _usable_facts(self, path: Path) -> ImageFacts | None:
        """Return the stored facts of an image; None if it must be read, also to raise its error."""
        facts = self._store.of_path(path)
        return None if facts and facts.problem and self._is_strict else facts

    def _all_headers(self) -> list[Header]:
        """Return the header of each image, from its facts if they are stored."""
        facts = [self._usable_facts(path) for path in self._paths]
        new = [path for path, image in zip(self._paths, facts, strict=True) if image is None]
        with self._pool(len(new)) as pool:
            headers = pool.map(self._read_header, new, chunksize=CHUNK)
            return [
                Header(image.height, image.width, bool(image.values)) if image else next(headers)
                for image in facts
            ]

    def _read_header(self, path: Path) -> Header:
        """Read an image's header; return NO_HEADER if it has none."""
        try:
            return read_header(path)
        except (UserError, OSError):
            if self._is_strict:
                raise
            return NO_HEADER

    def _read_all(self, positions: Sequence[int]) -> None:
        """Read images; store their facts and the names of their rows."""
        with self._pool(len(positions)) as pool:
            results = map_with_progress(self._read, positions, pool, "Reading images")
            for position, (facts, row_name) in zip(positions, results, strict=True):
                if facts is not None:
                    self._store.add(self._paths[position], facts)
                if self._rows is not None and row_name:
                    self._rows.names[position] = row_name

    @contextmanager
    def _pool(self, count: int) -> Iterator[Executor]:
        """Yield a pool of processes for `count` calls of this reader's methods, or of threads.

        Small images take more time with the interpreter's lock than without, so that threads wait
        for each other. Training may have threads that a fork would break.

        Raises:
            UserError: a process was killed.
        """
        global _reader
        is_forked = sys.platform == "linux" and not self._is_strict and count > FEW
        _reader = self if is_forked else None
        try:
            with _process_pool() if is_forked else ThreadPoolExecutor(processor_count()) as pool:
                yield pool
        except BrokenProcessPool:
            raise UserError(
                "A process that decodes images was killed.", "Give it more memory."
            ) from None
        finally:
            _reader = None

    def __reduce__(self) -> tuple[Callable[[], "ImageReader"], tuple[()]]:
        """Pickle a reference: the processes of `_pool` are forked, and have the reader already."""
        return _forked_reader, ()

    def _read(self, position: int) -> tuple[ImageFacts | None, str]:
        """Read one image; return its facts if they are not stored yet, and the name of its row.

        The name is empty if no row was written.
        """
        path = self._paths[position]
        if (facts := self._usable_facts(path)) and self._is_done(position, facts):
            return None, self._row_name(facts)
        content, md5 = None, ""
        if self._headers[position] != NO_HEADER:  # without one, the file may be larger than memory
            with suppress(OSError):  # `examine` says what is wrong
                content = path.read_bytes()
                md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if (facts := self._store.of_content(md5)) and self._is_done(position, facts):
            return facts, self._row_name(facts)
        facts, decoded = examine(path, content, self.shape)
        facts = facts._replace(md5=md5)
        if decoded is None:
            if self._is_strict:
                load(path)  # raises an error that names the remedy
                raise UserError(f"{path} changed while it was read.", "Run this again.")
        elif self._rows is not None:
            self._rows.write(position, fit(decoded, self.shape, self.scale))
        return facts, self._row_name(facts)

    def _is_done(self, position: int, facts: ImageFacts) -> bool:
        """Return whether nothing is left to decode; a row that exists elsewhere is copied."""
        if facts.problem:
            return not self._is_strict
        return self._rows is None or self._rows.copy(position, self._row_name(facts))

    def _row_name(self, facts: ImageFacts) -> str:
        """Return a text that differs between images whose stored pixels may differ.

        It is empty for an image that cannot be read.
        """
        if facts.problem:
            return ""
        return f"{facts.md5} {self.scale!r}" if facts.values else facts.md5


_reader: ImageReader | None = None
"""The reader that forked processes share with the process that started them."""


def _process_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processor_count(), multiprocessing.get_context("fork"))


def _forked_reader() -> ImageReader:
    assert _reader is not None
    return _reader

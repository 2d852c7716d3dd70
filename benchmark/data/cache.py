"""The decode cache: every image of a dataset decoded once, as one memory-mapped uint8 array.

All stored images share one shape, so that reading a batch is a gather of bytes. An image of
another shape is resized with antialiasing. Its true shape is stored too, since crops are drawn in
true pixels (see crops.py). Images that share a shape of at most ZOOM x image_size, as the bundled
ones, are stored as they are. Others are resized twice, which softens the finest detail.

The check of a dataset reads the images with the same code, so that they are decoded once for both.
"""

import hashlib
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from benchmark.common import code
from benchmark.common.digests import text_digest
from benchmark.common.files import new_directory, read_json, write_json
from benchmark.data import decoding
from benchmark.data.decoding import Shape, ValueRange
from benchmark.data.facts import FactStore, decoders
from benchmark.data.folder import DatasetFiles
from benchmark.data.reading import ImageReader, PixelRows
from benchmark.data.stored_shape import stored_shape
from benchmark.errors.user_error import UserError
from benchmark.machine.processors import processor_count

CACHES = Path(".cache")
"""Folder of all caches."""
DIGESTS = "digests.json"
"""File in each cache with a digest, the size, times and inode of its other files."""
ROWS = "rows.json"
"""File in each cache that says what its pixels are: versions of code and decoders, the shape, and a
name for each row, empty for an image that could not be decoded."""
SCALE = "scale.json"
"""File in each cache with the ValueRange of the dataset; empty if all images have 8 bits."""
BLOCK = 2**22
"""Bytes of a file that a thread reads and digests at a time."""
KEPT = 2
"""Number of caches kept for one dataset and size: two revisions of the code may alternate."""


class ImageStore:
    """The images of a cache, in the order of DatasetFiles.paths.

    They are mapped into memory, or `take` decodes the files `paths` if those are given. Pickling
    stores the arguments only, so that each loader worker maps the file itself.
    """

    def __init__(self, directory: Path, image_size: int, paths: tuple[Path, ...] = ()) -> None:
        self._arguments = directory, image_size, paths
        self._paths = paths
        self.shapes: NDArray[np.int32] = np.load(directory / "shapes.npy", allow_pickle=False)
        """True height and width of each image in pixels, (n, 2)."""
        self.height, self.width = stored_shape(self.shapes, image_size)
        self._scale = _read_scale(directory)
        if not paths:
            self._pixels = np.load(directory / "pixels.npy", mmap_mode="r", allow_pickle=False)

    def __reduce__(self) -> tuple[type["ImageStore"], tuple[Path, int, tuple[Path, ...]]]:
        return ImageStore, self._arguments

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `positions`, uint8 (len(positions), height, width, 3)."""
        if not self._paths:
            return np.take(self._pixels, positions, axis=0)
        paths = [self._paths[position] for position in positions]
        shape = self.height, self.width
        return np.stack([decoding.read_pixels(path, shape, self._scale) for path in paths])


@dataclass(frozen=True)
class DecodeCache:
    """The decode cache of one dataset, below `root`. Above `limit_gib` it has no pixels."""

    files: DatasetFiles
    image_size: int
    root: Path
    limit_gib: float

    @property
    def directory(self) -> Path:
        """Path of the cache. The name has digests of everything that the content depends on."""
        return self.root / f"{self._prefix()}-{self._key()}"

    def prepare(self) -> None:
        """Build the cache unless an intact one exists, and remove older ones.

        Several processes may call this at once: one builds, the others wait for its file lock.

        Raises:
            UserError: an image cannot be decoded, or the disk lacks space.
        """
        with self._locked() as directory:
            if not directory.exists() or self._missing(directory):
                store = self._store()
                self._build(directory, store, is_strict=True)
                store.save()

    def examine(self) -> FactStore:
        """Return the facts of all images, which may be damaged, after reading those not known.

        What is decoded for the facts is also written to the cache, if that is not above
        `limit_gib` and fits on the disk. A damaged image leaves its row empty.
        """
        store = self._store()
        if self.limit_gib > 0:
            # An error of the disk concerns training, which names it. Facts are read all the same.
            with suppress(OSError), self._locked() as directory:
                facts = map(store.of_path, self._missing(directory))
                if any(image is None or not image.problem for image in facts):
                    self._build(directory, store, is_strict=False)
        self._reader(store).read_unknown()
        return store

    def open(self) -> ImageStore:
        """Return the prepared images: memory-mapped, or decoded by `take` above `limit_gib`."""
        directory = self.directory
        assert directory.exists(), f"{directory}: call prepare() on this node first"
        mapped = (directory / "pixels.npy").exists()
        return ImageStore(directory, self.image_size, () if mapped else self.files.paths)

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """Lock the cache while a `with` block runs; yield its path, which is intact or absent."""
        self.root.mkdir(parents=True, exist_ok=True)
        directory = self.directory
        with FileLock(f"{directory}.lock"):
            for leftover in self.root.glob(f".{directory.name}.*.tmp"):  # of killed processes
                shutil.rmtree(leftover)
            if directory.exists() and not _is_intact(directory):
                print(f"{directory} is damaged: building it again.", file=sys.stderr)
                shutil.rmtree(directory)
            yield directory

    def _store(self) -> FactStore:
        return FactStore(self.root, self.files.root, self.files.paths)

    def _missing(self, directory: Path) -> Sequence[Path]:
        """Return the images without a row in the cache `directory`, which may not exist.

        Above `limit_gib`, no image needs a row.
        """
        if not directory.exists():
            return self.files.paths
        names = read_json(directory / ROWS)["names"]
        return [path for path, name in zip(self.files.paths, names, strict=False) if not name]

    def _reader(self, store: FactStore, *, is_strict: bool = False) -> ImageReader:
        return ImageReader(self.files.paths, store, self.image_size, is_strict=is_strict)

    def _build(self, directory: Path, store: FactStore, *, is_strict: bool) -> None:
        """Build the cache and remove older ones.

        Unless `is_strict`, damaged images are left out, and nothing is built where pixels are not
        wanted or do not fit on the disk.
        """
        reader = self._reader(store, is_strict=is_strict)
        count, names = len(reader.shapes), []
        size = count * math.prod(reader.shape) * 3
        has_pixels = size <= self.limit_gib * 2**30
        if not is_strict and not (has_pixels and size <= shutil.disk_usage(self.root).free):
            return
        with new_directory(directory) as temporary:
            np.save(temporary / "shapes.npy", reader.shapes, allow_pickle=False)
            write_json(temporary / SCALE, reader.scale._asdict() if reader.scale else {})
            if has_pixels:
                _check_space(self.root, size)
                sources, pixels = self._rows(reader.shape), temporary / "pixels.npy"
                with closing(PixelRows(pixels, count, reader.shape, sources)) as rows:
                    reader.read_rows(rows)
                names = rows.names
            made_by = {"code": _made_by(), "shape": reader.shape, "names": names}
            write_json(temporary / ROWS, made_by)
            write_json(temporary / DIGESTS, _digests(temporary))
        self._remove_stale()

    def _rows(self, shape: Shape) -> dict[str, NDArray[np.uint8]]:
        """Return the pixels of older caches of this `shape`, by the names of the rows."""
        rows: dict[str, NDArray[np.uint8]] = {}
        for directory in self.root.glob(f"{self._prefix()}-*"):
            if directory.is_dir() and _is_intact(directory):
                content = read_json(directory / ROWS)
                is_alike = (content["code"], tuple(content["shape"])) == (_made_by(), shape)
                if is_alike and content["names"]:  # no names, no pixels
                    pixels = np.load(directory / "pixels.npy", mmap_mode="r", allow_pickle=False)
                    rows |= {name: pixels[i] for i, name in enumerate(content["names"]) if name}
        return rows

    def _remove_stale(self) -> None:
        """Remove caches of the same dataset and parameters except for the KEPT latest.

        When a file changes, the cache gets another name, and nothing reads the old one.
        """
        with FileLock(self.root / f"{self._prefix()}.lock"):
            caches = [path for path in self.root.glob(f"{self._prefix()}-*") if path.is_dir()]
            caches.sort(key=lambda path: path.stat().st_mtime, reverse=True)
            for stale in caches[KEPT:]:
                shutil.rmtree(stale, ignore_errors=True)

    def _prefix(self) -> str:
        """Return a digest of the dataset's location and of the parameters."""
        root = self.files.root.resolve()
        limits = str(self.image_size), str(self.limit_gib)
        return text_digest("decode cache", str(root), *limits)[:12]

    def _key(self) -> str:
        """Return a digest of the code, the decoders, and every file's name, size and times.

        The files also determine the scale of images of more than 8 bits.
        """
        digest = hashlib.sha256(_made_by().encode())
        for path in self.files.paths:
            status = path.stat()
            name = path.relative_to(self.files.root).as_posix()
            times = f"{status.st_mtime_ns}\0{status.st_ctime_ns}"
            digest.update(f"{name}\0{status.st_size}\0{times}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:32]


def _made_by() -> str:
    """Return a digest of the code and of the decoders' versions."""
    return text_digest(code.digest("benchmark.data.cache"), *map(str, decoders()))


def _read_scale(directory: Path) -> ValueRange | None:
    scale = read_json(directory / SCALE)
    return ValueRange(**scale) if scale else None


def _is_intact(directory: Path) -> bool:
    """Return whether a cache's files have the content with which they were written.

    A file whose size, times and inode are those of the build is not read: 8 GiB take seconds.
    """
    try:
        recorded = read_json(directory / DIGESTS)
        files = _files(directory)
        return [*recorded] == [path.name for path in files] and all(
            recorded[path.name]["state"] == _state(path)
            or recorded[path.name]["content"] == _content_digest(path)
            for path in files
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digests(directory: Path) -> dict[str, dict[str, str]]:
    files = _files(directory)
    return {path.name: {"content": _content_digest(path), "state": _state(path)} for path in files}


def _content_digest(path: Path) -> str:
    """Return a digest of the sha256 of each block of a file, which threads compute."""
    starts = range(0, path.stat().st_size, BLOCK)
    with ThreadPoolExecutor(processor_count()) as pool:
        return text_digest(*pool.map(partial(_block_digest, path), starts))


def _block_digest(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.sha256(file.read(BLOCK)).hexdigest()


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.name != DIGESTS)


def _state(path: Path) -> str:
    """Return a text that differs after any change of the file: ctime and inode cannot be set."""
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"


def _check_space(directory: Path, size: int) -> None:
    """Raise UserError, before hours of decoding, if `size` bytes do not fit in `directory`."""
    free = shutil.disk_usage(directory).free
    if size > free:
        raise UserError(
            f"The decode cache needs {size / 2**30:.3g} GiB and {directory} has "
            f"{free / 2**30:.3g} GiB left.",
            "Make room, or set data.cache_gib below that to decode each batch instead.",
        )

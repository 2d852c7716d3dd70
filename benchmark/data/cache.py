"""The decode cache: every image of a dataset decoded once, as one memory-mapped uint8 array.

All stored images share one shape, so that reading a batch is a gather of bytes. An image of
another shape is resized with antialiasing. Its true shape is stored too, since crops are drawn in
true pixels (see crops.py). Images that share a shape of at most ZOOM x image_size, as the bundled
ones, are stored as they are. Others are resized twice, which softens the finest detail.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock
from numpy.typing import NDArray
from PIL import features

from benchmark.common import code
from benchmark.common.digests import text_digest
from benchmark.common.files import new_directory, read_json, sha256, write_json
from benchmark.common.progress import track
from benchmark.data import decoding
from benchmark.data.decoding import ValueRange, merge, read_range
from benchmark.data.folder import DatasetFiles
from benchmark.errors.user_error import UserError
from benchmark.machine import processors

CHUNK = 16
"""Images that a thread decodes at a time: one at a time takes a quarter longer."""
CACHES = Path(".cache")
"""Folder of all caches."""
DIGESTS = "digests.json"
"""File in each cache with the sha256 of its other files."""
SCALE = "scale.json"
"""File in each cache with the ValueRange of the dataset; empty if all images have 8 bits."""
KEPT = 2
"""Number of caches kept for one dataset and size: two revisions of the code may alternate."""
ZOOM = 8
"""Cached sides are at most ZOOM x image_size pixels. The narrowest training crop of a square has
0.245 of the side: 8 % of the area, at an aspect ratio of 3:4. So even there an output pixel covers
about two cached pixels."""


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
        self.height, self.width = _stored_shape(self.shapes, image_size)
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
        return np.stack([decoding.read_pixels(path, *shape, self._scale) for path in paths])


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
        """
        self.root.mkdir(parents=True, exist_ok=True)
        directory = self.directory
        with FileLock(f"{directory}.lock"):
            for leftover in self.root.glob(f".{directory.name}.*.tmp"):  # of killed processes
                shutil.rmtree(leftover)
            if directory.exists() and not _is_intact(directory):
                print(f"{directory} is damaged: building it again.", flush=True)
                shutil.rmtree(directory)
            if not directory.exists():
                self._build(directory)
                self._remove_stale()

    def open(self) -> ImageStore:
        """Return the prepared images: memory-mapped, or decoded by `take` above `limit_gib`."""
        directory = self.directory
        assert directory.exists(), f"{directory}: call prepare() on this node first"
        mapped = (directory / "pixels.npy").exists()
        return ImageStore(directory, self.image_size, () if mapped else self.files.paths)

    def _build(self, directory: Path) -> None:
        paths = self.files.paths
        with (
            new_directory(directory) as temporary,
            ThreadPoolExecutor(processors.processor_count()) as pool,
        ):
            headers = list(pool.map(decoding.read_header, paths))
            shapes = np.array([(header.height, header.width) for header in headers], dtype=np.int32)
            np.save(temporary / "shapes.npy", shapes, allow_pickle=False)
            deep = [path for path, header in zip(paths, headers, strict=True) if header.deep]
            scale = merge(pool.map(read_range, deep))
            write_json(temporary / SCALE, scale._asdict() if scale else {})
            shape = (len(paths), *_stored_shape(shapes, self.image_size), 3)
            if math.prod(shape) <= self.limit_gib * 2**30:
                _check_space(self.root, math.prod(shape))
                _decode_all(paths, shape, scale, temporary / "pixels.npy", pool)
            write_json(temporary / DIGESTS, _digests(temporary))

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
        decoders = [features.version(name) for name in ("jpg", "zlib", "webp", "libtiff")]
        facts = [code.digest("benchmark.data.cache"), PIL.__version__, *decoders]
        digest = hashlib.sha256(repr(facts).encode())
        for path in self.files.paths:
            status = path.stat()
            name = path.relative_to(self.files.root).as_posix()
            times = f"{status.st_mtime_ns}\0{status.st_ctime_ns}"
            digest.update(f"{name}\0{status.st_size}\0{times}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:32]


def _stored_shape(shapes: NDArray[np.int32], image_size: int) -> tuple[int, int]:
    """Return the height and width in which images of the true `shapes` (n, 2) are stored."""
    height, width = np.minimum(shapes.max(axis=0), ZOOM * image_size)
    return int(height), int(width)


def _read_scale(directory: Path) -> ValueRange | None:
    scale = read_json(directory / SCALE)
    return ValueRange(**scale) if scale else None


def _is_intact(directory: Path) -> bool:
    """Return whether a cache's files have the digests with which they were written."""
    try:
        return read_json(directory / DIGESTS) == _digests(directory)
    except (OSError, ValueError):
        return False


def _digests(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.iterdir() if path.name != DIGESTS)
    return {path.name: sha256(path) for path in files}


def _check_space(directory: Path, size: int) -> None:
    """Raise UserError, before hours of decoding, if `size` bytes do not fit in `directory`."""
    free = shutil.disk_usage(directory).free
    if size > free:
        raise UserError(
            f"The decode cache needs {size / 2**30:.3g} GiB and {directory} has "
            f"{free / 2**30:.3g} GiB left.",
            "Make room, or set data.cache_gib below that to decode each batch instead.",
        )


def _decode_all(
    paths: Sequence[Path],
    shape: tuple[int, int, int, int],
    scale: ValueRange | None,
    target: Path,
    pool: ThreadPoolExecutor,
) -> None:
    """Decode the images `paths` into the array `target`, uint8 of `shape` (n, height, width, 3)."""
    start = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape).offset

    def fill(first: int) -> None:
        """Decode CHUNK images and write their pixels at their place in the file.

        A memory map would cause a page fault at each new page.
        """
        for position, path in enumerate(paths[first : first + CHUNK], start=first):
            image = decoding.read_pixels(path, *shape[1:3], scale)
            written = os.pwrite(file.fileno(), image.data, start + position * image.nbytes)
            if written < image.nbytes:
                raise UserError(f"{target.parent}: the disk is full.", "Make room.")

    chunks = range(0, len(paths), CHUNK)
    with target.open("r+b") as file:
        done = pool.map(fill, chunks)
        for _ in track(done, "Decoding images", len(chunks)):
            pass  # moves the progress bar, and raises what a thread raised
        os.fsync(file.fileno())

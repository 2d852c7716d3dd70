"""How fast images are decoded: what the decode cache costs once, and a large dataset each epoch."""

import time
from dataclasses import replace
from pathlib import Path

from benchmark.common.parameters import DataParameters
from benchmark.common.statistics import Interval, interval
from benchmark.common.temporary import temporary_directory
from benchmark.data.cache import ZOOM, DecodeCache
from benchmark.data.folder import SPLITS, DatasetFiles, SplitFiles, scan

IMAGES, BYTES, BUILDS = 600, 2**28, 6
"""Images and bytes in a cache that is built to time it, at most, and how often it is built."""


def measure(data: DataParameters) -> Interval:
    """Images per second while a cache of a part of the dataset is built anew. Its files lie in the
    temporary directory and are removed. The first time, files may have to come from the disk: it
    does not count.

    Raises:
        UserError: an image cannot be decoded, or there is no room for the cache.
    """
    most = BYTES // (3 * (ZOOM * data.image_size) ** 2)
    images = _part(scan(Path(data.root)), max(1, min(IMAGES, most) // len(SPLITS)))
    seconds = [_build(images, data) for _ in range(BUILDS)][1:]
    return interval([len(images.paths) / each for each in seconds])


def _build(images: DatasetFiles, data: DataParameters) -> float:
    """Seconds."""
    with temporary_directory() as folder:
        cache = DecodeCache(images, data.image_size, folder, limit_gib=float("inf"))
        start = time.perf_counter()
        cache.prepare()
        return time.perf_counter() - start


def _part(images: DatasetFiles, count: int) -> DatasetFiles:
    """The first `count` images of each split."""
    splits = {
        name: SplitFiles(split.paths[:count], split.labels[:count])
        for name, split in images.splits.items()
    }
    return replace(images, splits=splits)

"""The shape in which all images of a dataset are stored, from the true shape of each."""

import numpy as np
from numpy.typing import NDArray

from benchmark.data.decoding import Shape

ZOOM = 8
"""Stored sides are at most ZOOM x image_size pixels. The narrowest training crop of a square has
0.245 of the side: 8 % of the area, at an aspect ratio of 3:4. So even there an output pixel covers
about two stored pixels."""
MEDIANS = 2
"""Stored sides are at most MEDIANS times the median side of the dataset. So a few large images make
the cache at most MEDIANS^2 times as large as images of the median height and width would."""
STEPS = 4
"""Twice the median is rounded down to a multiple of image_size / STEPS. So the shape stays, and
with it all stored pixels, when some images are replaced."""


def stored_shape(shapes: NDArray[np.int32], image_size: int) -> Shape:
    """Return the height and width in which images of the true `shapes` (n, 2) are stored."""
    largest = shapes.max(axis=0)
    height, width = np.minimum(
        largest, np.minimum(_median_limits(shapes, image_size), ZOOM * image_size)
    )
    return int(height), int(width)


def count_reduced(shapes: NDArray[np.int32], image_size: int) -> int:
    """Return how many images of the true `shapes` (n, 2) lose pixels to the limit of the median."""
    limits = np.minimum(_median_limits(shapes, image_size), ZOOM * image_size)
    return int((np.minimum(shapes, ZOOM * image_size) > limits).any(axis=1).sum())


def _median_limits(shapes: NDArray[np.int32], image_size: int) -> NDArray[np.int64]:
    """Return MEDIANS times the median height and width, rounded down unless below image_size."""
    limits = (MEDIANS * np.median(shapes, axis=0)).astype(np.int64)
    step = max(1, image_size // STEPS)
    return np.where(limits >= image_size, limits - limits % step, limits)

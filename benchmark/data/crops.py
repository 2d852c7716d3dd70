"""The crop window of each sample: torchvision's rules, drawn for a complete batch at once.

Windows are int32 (n, 2, 4) = (y, x) x (start, length, low, high), in units of 1/65536 pixel of
the stored image. They are integers, so that no precision setting rounds them and their digest is
the same everywhere. `length` pixels from `start` are resampled to one side of the output; the
antialiasing filter reads pixels between `low` and `high` only. RandomResizedCrop crops first, so
its filter stops at the crop's edge; Resize + CenterCrop filters first, so its filter reads beyond.
"""

import numpy as np
from numpy.typing import NDArray

from benchmark.data.randomness import uniforms

UNIT = 1 << 16
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
ATTEMPTS = 10
RESIZE_FRACTION = 256 / 224
"""Evaluation resizes the shorter side to this times the image size before the centre crop."""

Boxes = NDArray[np.float64]
"""Top, left, height, width in true pixels: those of the decoded file, before resizing; (n, 4)."""


def training_windows(
    shapes: NDArray[np.int32],
    stored: tuple[int, int],
    seed: int,
    epochs: NDArray[np.int64],
    indices: NDArray[np.int64],
    area: tuple[float, float] = AREA,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Draw a RandomResizedCrop and a flip of probability 1/2 for each of n samples.

    Args:
        shapes: true height and width of each image, (n, 2).
        stored: height and width in which the images are stored.
        seed: seed of the training.
        epochs: the epoch of each sample, (n,).
        indices: each sample's index in its split, (n,).
        area: smallest and largest fraction of an image's area that a window covers.

    Returns:
        Windows int32 (n, 2, 4), and flips bool (n,): True where the image is to be mirrored.
    """
    draws = uniforms(seed, epochs, indices, 3 + 2 * ATTEMPTS)
    boxes = _random_boxes(shapes.astype(np.float64), draws[:, 1:], area)
    return _to_stored_pixels(boxes, boxes, shapes, stored), draws[:, 0] < 0.5


def evaluation_windows(
    shapes: NDArray[np.int32], stored: tuple[int, int], image_size: int
) -> NDArray[np.int32]:
    """Return the windows of Resize + CenterCrop for true `shapes` (n, 2): int32 (n, 2, 4)."""
    sides = shapes.astype(np.int64)
    short = sides.min(axis=1, keepdims=True)
    resized = round(image_size * RESIZE_FRACTION) * sides // short
    offset = np.rint((resized - image_size) / 2)
    scale = sides / resized
    boxes = np.concatenate([offset * scale, image_size * scale], axis=1)
    complete_images = np.concatenate([np.zeros_like(sides), sides], axis=1).astype(np.float64)
    return _to_stored_pixels(boxes, complete_images, shapes, stored)


def _random_boxes(
    sides: NDArray[np.float64], draws: NDArray[np.float64], area: tuple[float, float]
) -> Boxes:
    """Draw boxes as torchvision's RandomResizedCrop.get_params, all attempts at once.

    Each image gets the first attempt that lies within it, or else a central crop.
    """
    fraction = area[0] + draws[:, 2 : 2 + ATTEMPTS] * (area[1] - area[0])
    target = sides.prod(axis=1, keepdims=True) * fraction
    low, high = np.log(ASPECT)
    aspect = np.exp(low + draws[:, 2 + ATTEMPTS :] * (high - low))
    heights, widths = np.rint(np.sqrt(target / aspect)), np.rint(np.sqrt(target * aspect))
    fits = (heights > 0) & (heights <= sides[:, :1]) & (widths > 0) & (widths <= sides[:, 1:])
    first = fits.argmax(axis=1)[:, None]
    size = np.concatenate([np.take_along_axis(a, first, 1) for a in (heights, widths)], axis=1)
    corner = np.floor(draws[:, :2] * (sides - size + 1))
    boxes = np.concatenate([corner, size], axis=1)
    return np.where(fits.any(axis=1)[:, None], boxes, _central_boxes(sides))


def _central_boxes(sides: NDArray[np.float64]) -> Boxes:
    """Return the largest central crops whose aspect ratio is within ASPECT."""
    height, width = sides[:, 0], sides[:, 1]
    size = np.stack(
        [
            np.minimum(height, np.rint(width / ASPECT[0])),
            np.minimum(width, np.rint(height * ASPECT[1])),
        ],
        axis=1,
    )
    return np.concatenate([np.floor((sides - size) / 2), size], axis=1)


def _to_stored_pixels(
    boxes: Boxes, filter_may_read: Boxes, shapes: NDArray[np.int32], stored: tuple[int, int]
) -> NDArray[np.int32]:
    """Convert boxes in true pixels to windows in the stored images.

    `filter_may_read` are the boxes whose pixels the antialiasing filter may read: the crops in
    training, the complete images in evaluation.

    Returns:
        Windows int32 (n, 2, 4), all in units of 1/65536 stored pixel. `low` and `high` are the
        edges of `filter_may_read`, rounded outwards to complete stored pixels.
    """
    zoom = np.array(stored) / shapes
    low = np.floor(filter_may_read[:, :2] * zoom)
    high = np.ceil((filter_may_read[:, :2] + filter_may_read[:, 2:]) * zoom)
    windows = np.stack([boxes[:, :2] * zoom, boxes[:, 2:] * zoom, low, high], axis=2)
    return np.rint(windows * UNIT).astype(np.int32)

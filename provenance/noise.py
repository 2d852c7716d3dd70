"""Random generators that depend only on a name, and smooth noise.

Each picture uses generators that are named after the picture, so it does not depend on the order in
which pictures are drawn.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]


def stream(*name: str | int) -> np.random.Generator:
    """Return the random generator of a name; equal names give equal numbers."""
    digest = hashlib.sha256("\0".join(map(str, name)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def fractal(
    rng: np.random.Generator, size: int, cells: tuple[int, int], octaves: int, decay: float = 0.5
) -> Floats:
    """Return fractal noise, (size, size) float64, with mean about 0 and deviation about 0.35.

    The first octave has `cells` (across, down) bumps. Each next octave has twice as many bumps in
    each direction, and `decay` times the height.
    """
    total = np.zeros((size, size))
    for octave in range(octaves):
        across, down = (min(n << octave, size) for n in cells)
        grid = Image.fromarray(rng.integers(0, 256, (down, across), dtype=np.uint8))
        # Bytes are resized in integer arithmetic, the same on every processor.
        bumps = np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
        total += decay**octave * (bumps / 127.5 - 1)
    total /= sum(decay ** (2 * octave) for octave in range(octaves)) ** 0.5
    return total

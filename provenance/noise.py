"""Random numbers that depend only on a name, and smooth noise made of them.

Every number behind a picture comes from a stream named by what it is for, so that a picture
does not change with the order in which pictures are drawn.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]


def stream(*name: str | int) -> np.random.Generator:
    """The random stream of that name; the same name always gives the same numbers."""
    digest = hashlib.sha256("\0".join(map(str, name)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def fractal(
    rng: np.random.Generator, size: int, cells: tuple[int, int], octaves: int, decay: float = 0.5
) -> Floats:
    """Noise of shape (size, size), float64, about 0 with a deviation of about 0.35.

    Its coarsest octave has `cells` (across, down) bumps; each next one has twice as many
    and `decay` times the height.
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

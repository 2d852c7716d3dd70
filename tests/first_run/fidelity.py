"""Compare cached pixels with those of a full decode: `python -m tests.first_run.fidelity FOLDER`.

Each image of FOLDER is enlarged to 4000 x 3000 pixels (each fifth to 3000 x 4000) and written as a
JPEG of quality 90. Prints the smallest and the median PSNR of what the suite stores at
`--image-size` to a full decode with the same resize.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import inf, log10
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmark.data.decoding import read_pixels
from benchmark.data.stored_shape import ZOOM
from tests.first_run.photographs import QUALITY

LONG, SHORT = 4000, 3000


def main(arguments: Sequence[str]) -> None:
    """Print the PSNR."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-size", type=int, default=64)
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("**/*.jpg"))
    with ProcessPoolExecutor() as pool:
        values = [*pool.map(partial(psnr, options.image_size), range(len(paths)), paths)]
    print(
        f"{len(values)} images: PSNR {min(values):.1f} dB or more, median {median(values):.1f} dB"
    )


def psnr(image_size: int, number: int, path: Path) -> float:
    """Return the peak signal-to-noise ratio in dB of an image's stored pixels."""
    size = (SHORT, LONG) if number % 5 == 0 else (LONG, SHORT)
    side = ZOOM * image_size
    with tempfile.TemporaryDirectory() as name, Image.open(path) as image:
        file = Path(name, "photograph.jpg")
        enlarged = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        enlarged.save(file, quality=QUALITY, subsampling="4:2:0")
        stored = read_pixels(file, (side, side)).astype(float)
        with Image.open(file) as full:
            exact = full.resize((side, side), Image.Resampling.BILINEAR)
    error = float(((stored - np.asarray(exact)) ** 2).mean())
    return 10 * log10(255**2 / error) if error else inf


if __name__ == "__main__":
    main(sys.argv[1:])

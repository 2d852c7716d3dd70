"""Make photographs: `python -m tests.first_run.photographs DIRECTORY COUNT`.

A made photograph has brightness and colour whose amplitude falls with the spatial frequency f as
1/f, as in nature, and a camera's noise. Its file is as large as a camera's of that many pixels.
Given `--content FOLDER`, it shows an image of that folder, with a camera's noise, instead.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 90
CLASSES = 5
SIDEWAYS = 5
"""One of this number of photographs is upright (height and width are exchanged)."""
TURNED = 10
"""One of this number has EXIF orientation 6 instead, as phones write it."""
CONTRAST = 45.0
"""Standard deviation of the brightness, in levels of 0 to 255."""
COLOUR = 12.0
"""Standard deviation of each colour difference."""
NOISE = 1.5
"""Standard deviation of a camera's noise in the brightness of a pixel."""
SHARP = 0.2
"""Cycles per pixel of which the lens lets 1/e pass."""
SIDE, FIELDS = 4096, 4
"""Height and width of the fields of which photographs show parts, and number of fields."""
ORIENTATION = 274
"""Number of EXIF's tag."""

Field = NDArray[np.float32]


def main(arguments: Sequence[str]) -> None:
    """Make the photographs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--size", type=size, default=(4000, 3000), metavar="WIDTHxHEIGHT")
    parser.add_argument("--content", type=Path, help="folder of images to show")
    options = parser.parse_args(arguments)
    paths = [*islice(names(options.directory), options.count)]
    content = sorted(options.content.glob("**/*.jpg")) if options.content else [None]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        tasks = range(len(paths)), paths, cycle(content)
        [*pool.map(partial(make, options.size), *tasks, chunksize=8)]
    mean = sum(path.stat().st_size for path in paths) / len(paths)
    print(f"{len(paths):,} photographs, {mean / 1e3:,.0f} kB on average")


def size(text: str) -> tuple[int, int]:
    """Parse the width and height of "4000x3000"; raise ValueError for another text."""
    width, height = map(int, text.split("x"))
    return width, height


def names(directory: Path) -> Iterator[Path]:
    """Yield paths: of ten photographs of a class eight are in train, one in val, one in test."""
    number = 0
    while True:
        split = ("val", "test", *["train"] * 8)[number // CLASSES % 10]
        yield directory / split / f"class {number % CLASSES}" / f"{number:05}.jpg"
        number += 1


def make(size: tuple[int, int], number: int, path: Path, content: Path | None = None) -> None:
    """Write photograph `number`, of `size` (width, height), to `path`."""
    random = np.random.default_rng(number)
    height, width = size if number % SIDEWAYS == 0 else size[::-1]
    planes = np.full((height, width, 3), 128, np.float32)
    planes[..., 0] += NOISE * grain(random, height, width)
    if content is None:
        for plane, deviation in enumerate((CONTRAST, COLOUR, COLOUR)):
            planes[..., plane] += deviation * window(random, height, width)
    else:
        with Image.open(content) as image:
            displayed = image.convert("YCbCr").resize((width, height), Image.Resampling.BICUBIC)
        planes += np.asarray(displayed, np.float32) - 128
    exif = Image.Exif()
    if number % TURNED == 1:
        exif[ORIENTATION] = 6
    picture = Image.fromarray(planes.clip(0, 255).astype(np.uint8), "YCbCr")
    picture.save(path, quality=QUALITY, subsampling="4:2:0", exif=exif)


def window(random: np.random.Generator, height: int, width: int) -> Field:
    """Return a random part of the sum of two fields, with a standard deviation of about 1."""
    total: Any = 0
    for seed in random.choice(FIELDS, 2, replace=False):
        whole = field(int(seed))
        top, left = (int(random.integers(side)) for side in whole.shape)
        rows = np.arange(top, top + height) % whole.shape[0]
        columns = np.arange(left, left + width) % whole.shape[1]
        total = total + whole[np.ix_(rows, columns)]
    return np.asarray(total / 2**0.5, np.float32)


def grain(random: np.random.Generator, height: int, width: int) -> Field:
    """Return a camera's noise: a random part of normal noise, which is slow to draw."""
    whole = noise()
    top, left = (int(random.integers(side)) for side in whole.shape)
    return np.roll(whole, (top, left), (0, 1))[:height, :width]


@cache
def noise() -> Field:
    """Return independent standard normal numbers."""
    return np.random.default_rng(99).standard_normal((SIDE, SIDE), np.float32)


@cache
def field(seed: int) -> Field:
    """Return a periodic field (SIDE, SIDE) of deviation 1 whose amplitude spectrum is 1/f."""
    white = np.fft.rfft2(np.random.default_rng(seed).standard_normal((SIDE, SIDE), np.float32))
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    lens = np.exp(-((frequency / SHARP) ** 2))
    values = np.fft.irfft2(white * lens / np.maximum(frequency, 4 / SIDE))
    return np.asarray(values / values.std(), np.float32)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Images in folders: <root>/{train,val,test}/<class>/<image>, and how one becomes RGB."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.errors.user_error import UserError

SPLITS = ("train", "val", "test")
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}
"""What a suffix promises. Pillow opens by content, so that a name alone keeps no format out."""
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""What file managers leave behind, in lower case; other systems' are hidden."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF's orientations that exchange height and width."""


@dataclass(frozen=True)
class SplitFiles:
    """The samples of one split: a sample's index is its place in these tuples."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class DatasetFiles:
    """A dataset on disk. Classes and samples are sorted by name, so indices are stable."""

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, SplitFiles]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every image, split after split."""
        return tuple(path for split in self.splits.values() for path in split.paths)

    def offset(self, split: str) -> int:
        """Where in `paths` the images of `split` begin."""
        before = SPLITS[: SPLITS.index(split)]
        return sum(len(self.splits[name].paths) for name in before)


def scan(root: Path) -> DatasetFiles:
    """List the images below `root` without opening them.

    Raises:
        UserError: a split or a class is missing, empty, or holds a file that is no image.
    """
    for split in SPLITS:
        if not (root / split).is_dir():
            raise UserError(
                f"{root / split} is missing.",
                f"A dataset needs {', '.join(SPLITS)}, each with one folder per class.",
            )
    classes = _classes(root)
    return DatasetFiles(root, classes, {name: _split(root / name, classes) for name in SPLITS})


def opened(path: Path) -> Image.Image:
    """The image in `path`, of one of FORMATS, not decoded yet."""
    return Image.open(path, formats=sorted(set(FORMATS.values())))


def is_ignored(path: Path) -> bool:
    """Whether it is hidden, or a file manager's: no image, class or split, and no mistake."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES


def decode(path: Path) -> Image.Image:
    """The image in `path`, upright and RGB, whatever its mode.

    Transparency is dropped as torchvision's loader drops it; 16-bit grey keeps its upper byte.

    Raises:
        UserError: the file cannot be read as an image.
    """
    try:
        with opened(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I;16"):
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise _unreadable(path, error) from None


def shape(path: Path) -> tuple[int, int]:
    """Height and width of the upright image in `path`, read from its header alone.

    Raises:
        UserError: the file cannot be read as an image.
    """
    try:
        with opened(path) as image:
            sideways = image.getexif().get(0x0112) in SIDEWAYS
            width, height = image.size
            return (width, height) if sideways else (height, width)
    except Exception as error:  # as above
        raise _unreadable(path, error) from None


def pixels(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """The image in `path` as (height, width, 3), resized with antialiasing if it must be."""
    image = decode(path)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _classes(root: Path) -> tuple[str, ...]:
    found = {split: {path.name for path in _visible(root / split)} for split in SPLITS}
    every = sorted(set().union(*found.values()))
    for name in every:
        absent = [split for split in SPLITS if name not in found[split]]
        if absent:
            _check_spelling(name, found[absent[0]], root / absent[0])
            raise UserError(
                f"Class {name!r} of {root} is not in {' and '.join(absent)}.",
                "Each class needs a folder with images in every split.",
            )
    if len(every) < 2:
        raise UserError(
            f"{root / SPLITS[0]} holds {len(every)} class(es).",
            "Two at least are to be told apart.",
        )
    return tuple(every)


def _check_spelling(name: str, others: set[str], folder: Path) -> None:
    """One name may have two spellings in Unicode that look alike: NFC and NFD."""
    alike = [each for each in others if _normal(each) == _normal(name)]
    if alike:
        raise UserError(
            f"Class {name!r} is {alike[0]!a} in {folder} and {name!a} elsewhere, which look alike.",
            "Rename one: copies from macOS are often in NFD, others in NFC.",
        )


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _split(folder: Path, classes: tuple[str, ...]) -> SplitFiles:
    images = [_images(folder / name) for name in classes]
    labels = [label for label, paths in enumerate(images) for _ in paths]
    return SplitFiles(tuple(path for paths in images for path in paths), tuple(labels))


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.", "A split holds one folder per class.")
    images = list(_visible(folder))
    for path in images:
        if path.suffix.lower() not in FORMATS:
            raise UserError(
                f"{path} is none of {', '.join(sorted(FORMATS))}.", "Convert or remove it."
            )
        if not os.path.isfile(path):  # to open a pipe is to wait for ever
            raise UserError(f"{path} is no file.", "Put an image in its place, or remove it.")
    if not images:
        raise UserError(f"{folder} holds no image.", "Each class needs one in every split.")
    return images


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if not is_ignored(path))


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, UnidentifiedImageError):
        return UserError(f"{path} is not an image.", "Replace or remove it.")
    said = str(error) or type(error).__name__
    return UserError(f"{path} cannot be read: {said}.", "Replace or remove it.")

"""List a dataset's images, <root>/{train,val,test}/<class>/<image>, and decode them to RGB."""

import errno
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.errors.user_error import UserError, visible

SPLITS = ("train", "val", "test")
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}
"""Pillow's format for each suffix. Pillow looks at the content: the suffix may be wrong."""
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""Files that file managers leave behind, in lower case; those of other systems are hidden."""
TOLERATED = frozenset({
    "names that look alike", "name that is not text", "link that leaves the dataset",
    "hidden or system file",
})  # fmt: skip
"""Kinds of problems with which images can be read: `scan` ignores them, the check does not."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a dataset."""

    kind: str
    """A key of `benchmark.audit.problems.KINDS`."""
    path: str
    """Path relative to the dataset, in characters that can be printed."""
    detail: str = ""
    """Another path, a number, or the decoder's error message."""


@dataclass(frozen=True)
class SplitFiles:
    """The samples of one split: a sample's index is its position in these tuples."""

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
        """Return the position in `paths` of the first image of `split`."""
        before = SPLITS[: SPLITS.index(split)]
        return sum(len(self.splits[name].paths) for name in before)


class Listing:
    """Lists the image files below `root`, and all problems of names, links and kinds of files.

    It opens no file, because opening a pipe would wait for ever.
    """

    classes: tuple[str, ...]
    """Names of all classes, sorted."""
    images: dict[tuple[str, str], list[Path]]
    """Image files of each (split, class) folder that exists, sorted by name."""
    problems: list[Problem]

    def __init__(self, root: Path) -> None:
        self._root = root
        self.problems = []
        folders = {split: self._class_folders(split) for split in SPLITS}
        self.classes = tuple(sorted(set().union(*folders.values())))
        if len(self.classes) < 2:
            self._add("too few classes", root, str(len(self.classes)))
        self._compare_names(folders)
        self.images = {
            (split, name): self._images(folder)
            for split in SPLITS
            for name, folder in folders[split].items()
        }

    def _class_folders(self, split: str) -> dict[str, Path]:
        folder = self._root / split
        if not os.path.isdir(folder):  # Path.is_dir raises where a link's target is too long
            self._add("missing folder", folder)
            return {}
        self._check_link(folder)
        return {path.name: path for path in self._entries(folder, os.path.isdir, "not a folder")}

    def _compare_names(self, folders: Mapping[str, Mapping[str, Path]]) -> None:
        """Add problems: classes that a split lacks, names that differ in case or Unicode only."""
        spellings: dict[str, list[str]] = defaultdict(list)
        for name in self.classes:
            spellings[unicodedata.normalize("NFC", name).casefold()].append(name)
        for names in spellings.values():
            for name in names[1:]:
                self.problems.append(Problem("names that look alike", f"{names[0]!a}", f"{name!a}"))
            for split, present in folders.items():
                similar = [name for name in names if name in present]
                for name in names:
                    if name not in present:
                        detail = f"{name!a} is spelled {similar[0]!a} there" if similar else ""
                        self._add("missing folder", self._root / split / name, detail)

    def _images(self, folder: Path) -> list[Path]:
        paths = []
        for path in self._entries(folder, os.path.isfile, "not a regular file"):
            if path.suffix.lower() in FORMATS:
                paths.append(path)
            else:
                self._add("unknown suffix", path)
        if not paths:
            self._add("empty class", folder)
        return paths

    def _entries(
        self, folder: Path, is_wanted: Callable[[str], bool], otherwise: str
    ) -> Iterator[Path]:
        """Yield the entries of `folder` that are wanted, sorted by name.

        Each entry that is not wanted becomes a problem of the kind `otherwise`.
        """
        if not os.access(folder, os.R_OK | os.X_OK):
            self._add("not readable", folder)
            return
        for entry in sorted(os.scandir(folder), key=attrgetter("name")):
            path = folder / entry.name
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
                self._add("hidden or system file", path)
            elif not is_wanted(entry.path):
                self._add(otherwise if os.path.exists(entry.path) else "broken link", path)
            else:
                if entry.is_symlink():
                    self._check_link(path)
                if not entry.name.isprintable():
                    self._add("name that is not text", path)
                yield path

    def _check_link(self, path: Path) -> None:
        if not path.resolve().is_relative_to(self._root.resolve()):
            self._add("link that leaves the dataset", path)

    def _add(self, kind: str, path: Path, detail: str = "") -> None:
        self.problems.append(Problem(kind, relative(path, self._root), detail))


def relative(path: Path, root: Path) -> str:
    """Return `path` relative to `root`, in characters that can be printed."""
    return visible(str(path.relative_to(root)))


def scan(root: Path) -> DatasetFiles:
    """List the images below `root` without opening them.

    Raises:
        UserError: a split or a class is missing or empty, or a file is not an image.
    """
    listing = Listing(root)
    for problem in listing.problems:
        if problem.kind not in TOLERATED:
            detail = f": {problem.detail}" if problem.detail else ""
            raise UserError(
                f"{root / problem.path}: {problem.kind}{detail}.",
                "A dataset needs train, val and test, each with a folder of images per class. "
                f"List all problems: .venv/bin/python -m benchmark check {root}.",
            )
    splits = {}
    for split in SPLITS:
        images = [listing.images[split, name] for name in listing.classes]
        labels = [label for label, paths in enumerate(images) for _ in paths]
        splits[split] = SplitFiles(tuple(chain.from_iterable(images)), tuple(labels))
    return DatasetFiles(root, listing.classes, splits)


def open_image(path: Path) -> Image.Image:
    """Open the image in `path`, of one of FORMATS, without decoding it. The caller closes it."""
    return Image.open(path, formats=sorted(set(FORMATS.values())))


def decode(path: Path) -> Image.Image:
    """Decode the image in `path`: upright and RGB, whatever mode the file has.

    Transparency is dropped as torchvision's loader drops it; 16-bit grey keeps its upper byte.

    Raises:
        UserError: the file cannot be read as an image.
    """
    try:
        with open_image(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I;16"):
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise _unreadable(path, error) from None


def read_shape(path: Path) -> tuple[int, int]:
    """Return height and width of the upright image in `path`; only the header is read.

    Raises:
        UserError: the file cannot be read as an image.
    """
    try:
        with open_image(path) as image:
            sideways = image.getexif().get(0x0112) in SIDEWAYS
            width, height = image.size
            return (width, height) if sideways else (height, width)
    except Exception as error:  # as in `decode`
        raise _unreadable(path, error) from None


def read_pixels(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """Decode the image in `path` to (height, width, 3), resized with antialiasing if necessary."""
    image = decode(path)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _unreadable(path: Path, error: Exception) -> Exception:
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        return error  # the image may be good: the process has too many open files
    if isinstance(error, UnidentifiedImageError):
        return UserError(f"{path} is not an image.", "Replace or remove it.")
    reason = str(error) or type(error).__name__
    return UserError(f"{path} cannot be read: {reason}.", "Replace or remove it.")

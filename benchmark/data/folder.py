"""List the images of a dataset, <root>/{train,val,test}/<class>/<image>, and all problems."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path

from benchmark.data.formats import FORMATS, SUFFIXES
from benchmark.errors.user_error import UserError, visible

SPLITS = ("train", "val", "test")
OTHER_NAMES = {
    "train": ("training", "train2017"),
    "val": ("valid", "validation", "dev", "eval", "val2017"),
    "test": ("testing", "evaluation", "test2017"),
}
"""What datasets call the splits otherwise, in lower case."""
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""Files that file managers leave behind, in lower case; those of other systems are hidden."""
TOLERATED = frozenset({
    "names that look alike", "name that is not text", "symbolic link", "hidden or system file",
    "names that differ in spaces",
})  # fmt: skip
"""Kinds of problems with which images can be read: `scan` ignores them, the check does not."""


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

    def files(self) -> DatasetFiles:
        """Return the listed images; a folder that does not exist has none."""
        splits = {}
        for split in SPLITS:
            images = [self.images.get((split, name), []) for name in self.classes]
            labels = [label for label, paths in enumerate(images) for _ in paths]
            splits[split] = SplitFiles(tuple(chain.from_iterable(images)), tuple(labels))
        return DatasetFiles(self._root, self.classes, splits)

    def _class_folders(self, split: str) -> dict[str, Path]:
        folder = self._root / split
        if not os.path.isdir(folder):  # Path.is_dir raises where a link's target is too long
            self._add("missing folder", folder, self._other_name(split))
            return {}
        if folder.is_symlink():
            self._check_link(folder)
        return {path.name: path for path in self._entries(folder, os.path.isdir, "not a folder")}

    def _other_name(self, split: str) -> str:
        """Return words that name the folder which seems to be `split`; empty without one."""
        with suppress(OSError):
            for name in sorted(os.listdir(self._root)):
                if name.lower() in (split, *OTHER_NAMES[split]):
                    return f"rename {name!a} to {split!a}"
        return ""

    def _compare_names(self, folders: Mapping[str, Mapping[str, Path]]) -> None:
        """Add problems: classes that a split lacks, and names that look alike."""
        spellings: dict[str, list[str]] = defaultdict(list)
        for name in self.classes:
            spellings[unicodedata.normalize("NFC", " ".join(name.split())).casefold()].append(name)
        for names in spellings.values():
            for name in names[1:]:
                spaces = any(" ".join(n.split()) != n for n in (names[0], name))
                kind = "names that differ in spaces" if spaces else "names that look alike"
                self.problems.append(Problem(kind, f"{names[0]!a}", f"{name!a}"))
            for split, present in folders.items():
                similar = [name for name in names if name in present]
                for name in names:
                    if name not in present:
                        detail = f"{name!a} is spelled {similar[0]!a} there" if similar else ""
                        self._add("missing folder", self._root / split / name, detail)

    def _images(self, folder: Path) -> list[Path]:
        """Return the image files of a class's folder, sorted by name.

        Each other entry becomes a problem, and so does a folder without images.
        """
        paths = []
        for path in self._entries(folder, os.path.isfile, "not a regular file"):
            suffix = path.suffix.lower()
            if suffix in FORMATS:
                paths.append(path)
            else:
                self._add("unknown suffix", path, SUFFIXES.get(suffix, ""))
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
                kind = "folder within a class" if os.path.isdir(entry.path) else otherwise
                self._add(kind if os.path.exists(entry.path) else "broken link", path)
            else:
                if entry.is_symlink():
                    self._check_link(path)
                if not entry.name.isprintable():
                    self._add("name that is not text", path)
                yield path

    def _check_link(self, path: Path) -> None:
        """Add a problem, unless the link `path` names a file of DVC's cache: DVC made it."""
        if path.resolve().parts[-4:-2] != ("files", "md5"):
            self._add("symbolic link", path)

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
    return listing.files()

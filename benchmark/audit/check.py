"""`python -m benchmark check DIRECTORY`: is it a dataset that can be trusted?

Every problem is found in one pass: names and kinds of files first, then each image decoded fully,
in several processes, then what images have in common. What has not changed since is not decoded
again.
"""

import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.audit import acknowledged
from benchmark.audit.examination import Facts, examine
from benchmark.audit.problems import Problem, count, lines
from benchmark.common.code import digest
from benchmark.common.files import read_json, write_json
from benchmark.common.progress import progress
from benchmark.data.cache import CACHES
from benchmark.data.folder import FORMATS, SPLITS, is_ignored
from benchmark.errors.user_error import UserError, visible
from benchmark.machine.processors import cores

EXAMINATION = "benchmark.audit.examination"
SEEN = CACHES / "check.json"
"""Facts of images by path, size and time of change."""
FEW = 200
"""Images for which no further processes are worth their start."""
CHUNK, PARTS = 32, 20
"""Images that a process takes at a time; words on how far it has come."""
UNEVEN = 10
"""Times the smallest class that a class may have."""


def run(root: Path, image_size: int, as_json: bool) -> int:
    """The command: print every problem; an exit status, 1 if one of them is an error.

    Raises:
        UserError: there is no such directory, or its list of known problems is wrong.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no directory.", "Name one with train, val and test in it.")
    found, known = acknowledged.split(problems(root, image_size), root)
    if as_json:
        print(json.dumps([vars(problem) for problem in found], indent=2))
    else:
        print("\n".join(lines(found)) or visible(f"{root}: no problem was found."))
        if known:
            print(visible(f"Known, by {acknowledged.place(root)}: {count(known)}."))
    return int(any(problem.is_error for problem in found))


def refuse_errors(root: Path, image_size: int) -> None:
    """For the dataset stage, which goes on with warnings.

    Raises:
        UserError: something is wrong, which the list of known problems does not hold.
    """
    found, _ = acknowledged.split(problems(root, image_size), root)
    errors = [problem for problem in found if problem.is_error]
    if errors:
        raise UserError(
            f"{root} is no dataset to train on: {count(errors)}.",
            f"List them: .venv/bin/python -m benchmark check {root}.",
        )
    if found:
        print(f"{root}: {count(found)} (.venv/bin/python -m benchmark check {root}).")


def problems(root: Path, image_size: int) -> list[Problem]:
    """All problems of the dataset below `root`.

    Args:
        root: holds a folder for each split, in each a folder for each class.
        image_size: images that are smaller are enlarged.
    """
    found: list[Problem] = []
    images = {key: [*_images(folder, found, root)] for key, folder in _classes(root, found)}
    found += _empty_or_uneven(images)
    facts = _facts(root, [path for paths in images.values() for path in paths])
    found += _unfit(facts, image_size)
    return [*found, *_twins(images, facts, root)]


def _classes(root: Path, found: list[Problem]) -> list[tuple[tuple[str, str], Path]]:
    """The folder of each split and class that is there."""
    names = {split: _names(root, root / split, found) for split in SPLITS}
    every = sorted(set().union(*names.values()))
    found += _look_alikes(every)
    if len(every) < 2:
        found.append(Problem("too few classes", ".", f"{len(every)}"))
    for split, here in names.items():
        absent = (name for name in every if name not in here)
        found += [Problem("missing folder", f"{split}/{name}") for name in absent]
    return [((s, name), root / s / name) for s, here in names.items() for name in here]


def _names(root: Path, folder: Path, found: list[Problem]) -> list[str]:
    """The classes in a split's folder."""
    if not os.path.isdir(folder):  # unlike Path's, at peace with a link to no possible name
        found.append(Problem("missing folder", folder.name))
        return []
    if problem := _unfit_link(folder, root):
        found.append(Problem(problem, folder.name))
    names = []
    for entry in _visible(folder, found, root):
        if problem := _unfit_link(entry, root) or ("" if entry.is_dir() else "no folder"):
            found.append(Problem(problem, _below(entry, root)))
        else:
            names.append(entry.name)
    return names


def _look_alikes(names: Sequence[str]) -> Iterator[Problem]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[unicodedata.normalize("NFC", name).casefold()].append(name)
    for first, *others in alike.values():
        for other in others:
            yield Problem("names that look alike", f"{first!a}", f"{other!a}")


def _images(folder: Path, found: list[Problem], root: Path) -> Iterator[Path]:
    """The files in a class's folder that can be opened."""
    for path in _visible(folder, found, root):
        problem = _unfit_file(path, root)
        if problem:
            found.append(Problem(problem, _below(path, root)))
        else:
            yield path


def _unfit_file(path: Path, root: Path) -> str:
    """What is wrong with a file before it is opened; a pipe would never end."""
    if problem := _unfit_link(path, root):
        return problem
    if not path.is_file():
        return "no regular file"
    return "" if path.suffix.lower() in FORMATS else "unknown suffix"


def _unfit_link(path: Path, root: Path) -> str:
    if not path.is_symlink():
        return ""
    if not os.path.exists(path):
        return "broken link"
    inside = path.resolve().is_relative_to(root.resolve())
    return "" if inside else "link that leaves the dataset"


def _visible(folder: Path, found: list[Problem], root: Path) -> Iterator[Path]:
    """What is not hidden, with names that can be written down."""
    if not os.access(folder, os.R_OK | os.X_OK):
        found.append(Problem("not readable", _below(folder, root)))
        return
    for path in sorted(folder.iterdir()):
        if is_ignored(path):
            found.append(Problem("hidden or system file", _below(path, root)))
        elif not path.name.isprintable():
            found.append(Problem("name that is no text", repr(_below(path, root))))
        else:
            yield path


def _empty_or_uneven(images: Mapping[tuple[str, str], Sequence[Path]]) -> Iterator[Problem]:
    for (split, name), paths in images.items():
        if not paths:
            yield Problem("empty class", f"{split}/{name}")
    for split in SPLITS:
        sizes = {name: len(paths) for (s, name), paths in images.items() if s == split and paths}
        if sizes and max(sizes.values()) > UNEVEN * min(sizes.values()):
            low, high = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            yield Problem(
                "uneven classes", split, f"{sizes[low]:,} of {low}, {sizes[high]:,} of {high}"
            )


def _facts(root: Path, paths: Sequence[Path]) -> dict[str, Facts]:
    """Of each file by its path below `root`; decoded only if it is new or has changed."""
    seen = _seen()
    keys = {path: _key(path) for path in paths}
    fresh = [path for path, key in keys.items() if key not in seen]
    known = {keys[path]: [*facts] for path, facts in zip(fresh, _examined(fresh), strict=True)}
    current = {key: known.get(key) or seen[key] for key in keys.values()}
    if fresh:
        write_json(SEEN, {"code": digest(EXAMINATION, texts=True), "images": current})
    return {_below(path, root): Facts(*current[key]) for path, key in keys.items()}


def _seen() -> dict[str, list[Any]]:
    """Facts of earlier passes, of the same code; none if the file is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = read_json(SEEN)
        if content["code"] == digest(EXAMINATION, texts=True):
            return dict(content["images"])
    return {}


def _key(path: Path) -> str:
    state = path.stat()
    return f"{path.absolute()} {state.st_size} {state.st_mtime_ns} {state.st_mode}"


def _examined(paths: Sequence[Path]) -> Iterator[Facts]:
    """Facts in the order of `paths`, from as many processes as there are processors."""
    if len(paths) <= FEW:
        yield from map(examine, paths)
        return
    part = -(-len(paths) // PARTS)
    with ProcessPoolExecutor(cores()) as pool, progress(PARTS, "images") as tell:
        try:
            for number, facts in enumerate(pool.map(examine, paths, chunksize=CHUNK), start=1):
                if number % part == 0:
                    tell(f"{number:,} of {len(paths):,} images")
                yield facts
        except BrokenProcessPool:
            raise UserError(
                "A process that decodes images was ended from outside.", "Give it more memory."
            ) from None


def _unfit(facts: Mapping[str, Facts], image_size: int) -> Iterator[Problem]:
    """What each image has of its own."""
    for path, image in facts.items():
        if image.problem:
            yield Problem(image.problem, path, image.detail)
            continue
        if image.format != FORMATS[Path(path).suffix.lower()]:
            yield Problem("suffix of another format", path, image.format)
        if image.frames > 1:
            yield Problem("animated image", path, f"{image.frames} frames")
        if min(image.height, image.width) < image_size:
            yield Problem(
                "image smaller than the crop", path, f"{image.width} x {image.height} pixels"
            )


def _twins(
    images: Mapping[tuple[str, str], Iterable[Path]], facts: Mapping[str, Facts], root: Path
) -> Iterator[Problem]:
    """Images of equal pixels, each told beside the first one of them."""
    places = {_below(path, root): key for key, paths in images.items() for path in paths}
    alike: dict[str, list[str]] = defaultdict(list)
    for path, image in facts.items():
        if image.pixels:
            alike[image.pixels].append(path)
    for first, *others in alike.values():
        for other in others:
            yield Problem(_twin(places[first], places[other]), other, f"as {first}")


def _twin(one: tuple[str, str], other: tuple[str, str]) -> str:
    if one[1] != other[1]:
        return "same picture under two labels"
    if one[0] == other[0]:
        return "same picture twice"
    train = "train" in (one[0], other[0])
    return "same picture in train and another split" if train else "same picture in val and test"


def _below(path: Path, root: Path) -> str:
    """Relative to the dataset, in characters that can be printed."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")

"""`python -m benchmark check DIRECTORY`: find every problem of a dataset in one pass.

First the names and kinds of files, then each image, decoded completely in several processes, then
duplicates. An image that did not change since the last check is not decoded again.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.audit import acknowledged
from benchmark.audit.examination import ImageFacts, examine
from benchmark.audit.problems import count_by_kind, is_error, report_lines
from benchmark.common.code import digest
from benchmark.common.digests import text_digest
from benchmark.common.files import read_json, write_json
from benchmark.common.progress import progress
from benchmark.data.cache import CACHES
from benchmark.data.decoding import ValueRange, merge, to_uint8
from benchmark.data.folder import SPLITS, Listing, Problem, relative
from benchmark.data.formats import FORMATS
from benchmark.errors.user_error import UserError, visible
from benchmark.machine.processors import processor_count

EXAMINATION = "benchmark.audit.examination"
KEPT = 8
"""Number of datasets whose facts stay in CACHES: those that were checked last."""
FEW = 200
"""Up to this number of images, starting processes takes longer than they save."""
CHUNK = 32
"""Images that a process takes at a time."""
UPDATES = 20
"""Number of lines of progress."""
FEW_LEVELS = 32
"""Number of grey levels below which an image of more than 8 bits is reported."""
UNEVEN = 10
"""Ratio of the largest class to the smallest above which classes are uneven."""


def run(root: Path, image_size: int, as_json: bool) -> int:
    """Check the dataset below `root` and print its problems that are not acknowledged.

    Return 1 if one of these is an error, else 0. Facts about the images are stored below CACHES for
    the next check. `image_size` is that of `find_problems`.

    Raises:
        UserError: the directory does not exist, or its list of acknowledged problems is not valid.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a directory.", "Name one with train, val and test in it.")
    problems, scale = find_problems(root, image_size)
    remaining, listed = acknowledged.split(problems, root)
    if as_json:
        print(json.dumps([vars(problem) for problem in remaining], indent=2))
    else:
        print("\n".join(report_lines(remaining)) or visible(f"{root}: no problem."))
        print(scale_line(scale), end="")
        if listed:
            print(visible(f"Listed in {acknowledged.list_path(root)}: {count_by_kind(listed)}."))
    return int(any(map(is_error, remaining)))


def refuse_errors(
    root: Path, image_size: int, pinned: Mapping[str, str] | None = None
) -> ValueRange | None:
    """Raise if the dataset has errors; otherwise print the number of warnings, if any.

    `root`, `image_size` and `pinned` are those of `find_problems`.

    Returns:
        The range of the values of all images of more than 8 bits; None if there are none.

    Raises:
        UserError: an error is not in the list of acknowledged problems, or that list is not valid.
    """
    problems, scale = find_problems(root, image_size, pinned)
    remaining, _ = acknowledged.split(problems, root)
    errors = list(filter(is_error, remaining))
    if errors:
        raise UserError(
            f"{root} cannot be trained on: {count_by_kind(errors)}.",
            f"List them: .venv/bin/python -m benchmark check {root}.",
        )
    if remaining:
        print(f"{root}: {count_by_kind(remaining)} (.venv/bin/python -m benchmark check {root}).")
    print(scale_line(scale), end="")
    return scale


def scale_line(scale: ValueRange | None) -> str:
    """Return a line that says on which scale images of more than 8 bits are read, if any are."""
    if scale is None:
        return ""
    return f"Images of more than 8 bits have values from {scale}: one scale for all.\n"


def find_problems(
    root: Path, image_size: int, pinned: Mapping[str, str] | None = None
) -> tuple[list[Problem], ValueRange | None]:
    """Return all problems of the dataset below `root`, acknowledged ones included, and its scale.

    The scale is the range of the values of all images of more than 8 bits, if there are any.

    Args:
        root: contains a folder for each split, and in it a folder for each class.
        image_size: height and width of what the model sees, in pixels; smaller images are
            enlarged.
        pinned: MD5 of each pinned file, by its path relative to `root`; None if nothing is pinned.
    """
    listing = Listing(root)
    facts = _facts(root, [path for paths in listing.images.values() for path in paths])
    scale = merge(ValueRange(*image.values[::3]) for image in facts.values() if image.values)
    return [
        *listing.problems,
        *_uneven_classes(listing.images),
        *_single_images(facts, image_size, root),
        *(_few_levels(facts, scale, root) if scale else ()),
        *(_not_pinned(facts, pinned, root) if pinned else ()),
        *_duplicates(facts, root),
    ], scale


def _uneven_classes(images: Mapping[tuple[str, str], Sequence[Path]]) -> Iterator[Problem]:
    for split in SPLITS:
        sizes = {name: len(paths) for (s, name), paths in images.items() if s == split and paths}
        if sizes and max(sizes.values()) > UNEVEN * min(sizes.values()):
            low, high = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            yield Problem(
                "uneven classes", split, f"{sizes[low]:,} of {low}, {sizes[high]:,} of {high}"
            )


def _facts(root: Path, paths: Sequence[Path]) -> dict[Path, ImageFacts]:
    """Return the facts of each image, and store them below CACHES for the next check.

    An image is decoded only if it is new or has changed since the last check.
    """
    store = CACHES / f"check-{text_digest(visible(str(root.resolve())))[:16]}.json"
    stored = _read_facts(store)
    keys = {path: _key(path, root) for path in paths}
    fresh = [path for path, key in keys.items() if key not in stored]
    for path, facts in zip(fresh, _examine_all(fresh), strict=True):
        stored[keys[path]] = [*facts]
    current = {key: stored[key] for key in keys.values()}
    try:
        if fresh:
            write_json(store, {"code": digest(EXAMINATION), "images": current})
            stores = sorted(CACHES.glob("check-*.json"), key=lambda path: path.stat().st_mtime)
            for old in stores[:-KEPT]:
                old.unlink(missing_ok=True)
        elif paths:
            store.touch()
    except OSError as error:  # the problems are worth more than a faster next check
        reason = f"{error.filename or store}: {error.strerror}"
        print(f"warning: {reason}. The next check decodes all images.", file=sys.stderr)
    return {path: ImageFacts(*current[key]) for path, key in keys.items()}


def _read_facts(store: Path) -> dict[str, list[Any]]:
    """Return the facts that the same code stored in `store`; empty if it cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = read_json(store)
        if content["code"] == digest(EXAMINATION):
            return dict(content["images"])
    return {}


def _key(path: Path, root: Path) -> str:
    """Return a text that differs after any change of the file.

    The time of change (ctime) and the inode cannot be set: an archive brings other bytes of the
    same size and modification time, and exchanged folders bring other files under the same names.
    """
    state = path.stat()
    times = f"{state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
    return f"{path.relative_to(root)} {state.st_size} {times} {state.st_mode}"


def _examine_all(paths: Sequence[Path]) -> Iterator[ImageFacts]:
    """Examine the images and yield their facts in the order of `paths`.

    More than FEW images are examined by one process per processor.

    Raises:
        UserError: a process was killed.
    """
    if len(paths) <= FEW:
        yield from map(examine, paths)
        return
    step = -(-len(paths) // UPDATES)
    with (
        ProcessPoolExecutor(processor_count()) as pool,
        progress(UPDATES, "images", log=sys.stderr) as update,  # stdout may be JSON
    ):
        try:
            for number, facts in enumerate(pool.map(examine, paths, chunksize=CHUNK), start=1):
                if number % step == 0:
                    update(f"{number:,} of {len(paths):,} images")
                yield facts
        except BrokenProcessPool:
            raise UserError(
                "A process that decodes images was killed.", "Give it more memory."
            ) from None


def _single_images(
    facts: Mapping[Path, ImageFacts], image_size: int, root: Path
) -> Iterator[Problem]:
    for path, image in facts.items():
        name = relative(path, root)
        if image.problem:
            yield Problem(image.problem, name, image.detail)
            continue
        if image.format != FORMATS[path.suffix.lower()]:
            yield Problem("suffix of another format", name, image.format)
        if image.frames > 1:
            yield Problem("animated image", name, f"{image.frames} frames")
        if min(image.height, image.width) < image_size:
            yield Problem(
                "image smaller than the crop", name, f"{image.width} x {image.height} pixels"
            )


def _few_levels(
    facts: Mapping[Path, ImageFacts], scale: ValueRange, root: Path
) -> Iterator[Problem]:
    """Yield a problem for each image that is black on the scale, or loses all but a few levels.

    The darkest and the brightest percent of its pixels do not count: they may be defects.
    """
    for path, image in facts.items():
        if image.values:
            values = ValueRange(*image.values[1:3])
            low, high = map(int, to_uint8(np.array(values), scale))
            levels = high - low + 1
            span = values.high - values.low
            loses = span >= levels if isinstance(span, int) else span > 0
            if high == 0 or (levels < FEW_LEVELS and loses):
                detail = f"{values} become {low} to {high}"
                yield Problem("few grey levels", relative(path, root), detail)


def _not_pinned(
    facts: Mapping[Path, ImageFacts], pinned: Mapping[str, str], root: Path
) -> Iterator[Problem]:
    """Yield a problem for each image that is not pinned, or whose MD5 is not the pinned one."""
    for path, image in facts.items():
        md5 = pinned.get(path.relative_to(root).as_posix())
        if md5 is None:
            yield Problem("not in the pin", relative(path, root))
        elif image.md5 not in (md5, ""):
            yield Problem("not what is pinned", relative(path, root))


def _duplicates(facts: Mapping[Path, ImageFacts], root: Path) -> Iterator[Problem]:
    """Yield a problem for each image whose pixels equal those of an earlier image."""
    by_pixels: dict[str, list[Path]] = defaultdict(list)
    for path, image in facts.items():
        if image.pixels:
            by_pixels[image.pixels].append(path)
    for first, *copies in by_pixels.values():
        for copy in copies:
            kind = _duplicate_kind(first.relative_to(root).parts, copy.relative_to(root).parts)
            yield Problem(kind, relative(copy, root), f"as {relative(first, root)}")


def _duplicate_kind(one: Sequence[str], other: Sequence[str]) -> str:
    """Return the kind of problem of two equal images at `one` and `other`: (split, class, name)."""
    if one[1] != other[1]:
        return "same picture under two labels"
    if one[0] == other[0]:
        return "same picture twice"
    if "train" in (one[0], other[0]):
        return "same picture in train and another split"
    return "same picture in val and test"

"""`python -m benchmark check DIRECTORY`: find every problem of a dataset in one pass.

First the names and kinds of files, then each image, decoded on all processors, then duplicates.
An image is decoded once, for its facts and for the decode cache of training, and not again as long
as its content does not change.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.audit import acknowledged
from benchmark.audit.duplicates import duplicates
from benchmark.audit.problems import count_by_kind, is_error, report_lines
from benchmark.data.cache import CACHES, DecodeCache
from benchmark.data.decoding import ValueRange, merge, to_uint8
from benchmark.data.examination import ImageFacts
from benchmark.data.folder import SPLITS, Listing, Problem, relative
from benchmark.data.formats import FORMATS
from benchmark.errors.user_error import UserError, visible

FEW_LEVELS = 32
"""Number of grey levels below which an image of more than 8 bits is reported."""
UNEVEN = 10
"""Ratio of the largest class to the smallest above which classes are uneven."""


def run(root: Path, image_size: int, as_json: bool, cache_gib: float = 0) -> int:
    """Check the dataset below `root` and print its problems that are not acknowledged.

    Return 1 if one of these is an error, else 0. `image_size` and `cache_gib` are those of
    `find_problems`.

    Raises:
        UserError: the directory does not exist, or its list of acknowledged problems is not valid.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a directory.", "Name one with train, val and test in it.")
    problems, scale = find_problems(root, image_size, cache_gib=cache_gib)
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
    root: Path,
    image_size: int,
    pinned: Mapping[str, str] | None = None,
    cache_gib: float = 0,
) -> ValueRange | None:
    """Raise if the dataset has errors; otherwise print the number of warnings, if any.

    The arguments are those of `find_problems`.

    Returns:
        The range of the values of all images of more than 8 bits; None if there are none.

    Raises:
        UserError: an error is not in the list of acknowledged problems, or that list is not valid.
    """
    problems, scale = find_problems(root, image_size, pinned, cache_gib)
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
    root: Path,
    image_size: int,
    pinned: Mapping[str, str] | None = None,
    cache_gib: float = 0,
) -> tuple[list[Problem], ValueRange | None]:
    """Return all problems of the dataset below `root`, acknowledged ones included, and its scale.

    The scale is the range of the values of all images of more than 8 bits, if there are any. Facts
    about the images are stored below CACHES for the next check and for training.

    Args:
        root: contains a folder for each split, and in it a folder for each class.
        image_size: height and width of what the model sees, in pixels; smaller images are
            enlarged.
        pinned: MD5 of each pinned file, by its path relative to `root`; None if nothing is pinned.
        cache_gib: size in GiB of the largest decode cache that training at this `image_size` uses.
            A cache up to that size is written if it fits on the disk.
    """
    listing = Listing(root)
    files = listing.files()
    store = DecodeCache(files, image_size, CACHES, cache_gib).examine()
    copies = list(duplicates(store, files.paths, root))
    store.save()
    facts = {path: image for path in files.paths if (image := store.of_path(path))}
    scale = merge(ValueRange(*image.values[::3]) for image in facts.values() if image.values)
    return [
        *listing.problems,
        *_uneven_classes(listing.images),
        *_single_images(facts, image_size, root),
        *(_few_levels(facts, scale, root) if scale else ()),
        *(_not_pinned(facts, pinned, root) if pinned else ()),
        *copies,
    ], scale


def _uneven_classes(images: Mapping[tuple[str, str], Sequence[Path]]) -> Iterator[Problem]:
    for split in SPLITS:
        sizes = {name: len(paths) for (s, name), paths in images.items() if s == split and paths}
        if sizes and max(sizes.values()) > UNEVEN * min(sizes.values()):
            low, high = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            yield Problem(
                "uneven classes", split, f"{sizes[low]:,} of {low}, {sizes[high]:,} of {high}"
            )


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
    """Yield a problem for each image that is not pinned, or whose MD5 is not the pinned one.

    One that cannot be read has a problem already.
    """
    for path, image in facts.items():
        md5 = pinned.get(path.relative_to(root).as_posix())
        if md5 is None:
            yield Problem("not in the pin", relative(path, root))
        elif not image.problem and image.md5 != md5:
            yield Problem("not what is pinned", relative(path, root))

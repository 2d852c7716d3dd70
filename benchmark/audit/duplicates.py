"""Find equal pictures of a dataset, also of other formats and names.

Images decoded in full are compared by a digest of their pixels. A photograph decoded at a reduced
scale has no such digest: it is decoded in full if another image of its size has a similar
thumbnail.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.decoding import load
from benchmark.data.examination import ImageFacts, pixel_digest
from benchmark.data.facts import FactStore
from benchmark.data.folder import Problem, relative
from benchmark.data.reading import map_with_progress
from benchmark.errors.user_error import UserError
from benchmark.machine.processors import processor_count

TOLERANCE = 16
"""Largest difference between thumbnails of equal pictures that were decoded at different scales. It
is 1 in photographs, and up to 13 in text and drawings, whose extreme colours are cut off later."""


def duplicates(store: FactStore, paths: Sequence[Path], root: Path) -> Iterator[Problem]:
    """Yield a problem for each image whose pixels equal those of an earlier image of `paths`.

    Images that may be equal are decoded in full, and their digests are added to `store`.
    """
    facts = {path: known for path in paths if (known := store.of_path(path)) and not known.problem}
    by_content = {known.md5: path for path, known in facts.items()}
    waiting = [by_content[md5] for md5 in _undecided(facts)]

    def digest(path: Path) -> str:
        with suppress(UserError):  # the file changed just now
            return pixel_digest(load(path))
        return ""

    words = "Comparing similar images"
    with ThreadPoolExecutor(processor_count()) as pool:
        for path, pixels in zip(
            waiting, map_with_progress(digest, waiting, pool, words), strict=True
        ):
            store.add(path, facts[path]._replace(pixels=pixels))
    by_pixels: dict[str, list[Path]] = defaultdict(list)
    for path in facts:
        if known := store.of_path(path):
            by_pixels[known.pixels or known.md5].append(path)
    for first, *copies in by_pixels.values():
        for copy in copies:
            kind = _kind(first.relative_to(root).parts, copy.relative_to(root).parts)
            yield Problem(kind, relative(copy, root), f"as {relative(first, root)}")


def _undecided(facts: Mapping[Path, ImageFacts]) -> Iterator[str]:
    """Yield the MD5 of each image without a digest of its pixels that may equal another one."""
    by_shape: dict[tuple[int, int], dict[str, ImageFacts]] = defaultdict(dict)
    for known in facts.values():
        if not known.values:  # an image of more than 8 bits has a digest
            by_shape[known.height, known.width][known.md5] = known
    for images in by_shape.values():
        reduced = [md5 for md5, known in images.items() if not known.pixels]
        if not all(known.thumbnail for known in images.values()):
            yield from reduced
        elif reduced:
            names = [*images]
            rows = b"".join(bytes.fromhex(known.thumbnail) for known in images.values())
            thumbnails = np.frombuffer(rows, np.uint8).reshape(len(names), -1).astype(np.int16)
            is_reduced = np.array([not known.pixels for known in images.values()])
            yield from (names[i] for i in _similar(thumbnails, is_reduced))


def _similar(thumbnails: NDArray[np.int16], is_reduced: NDArray[np.bool_]) -> set[int]:
    """Return the reduced ones of all rows of `thumbnails` (n, colours) that resemble another row.

    Rows are sorted by their first colour, so that a row is compared with few others.
    """
    order = np.argsort(thumbnails[:, 0], kind="stable")
    is_reduced = is_reduced[order]
    colours = np.ascontiguousarray(thumbnails[order].T)
    ends = np.searchsorted(colours[0], colours[0] + TOLERANCE, side="right")
    similar: set[int] = set()
    for row, end in enumerate(ends):
        others = np.arange(row + 1, end)
        if not is_reduced[row]:
            others = others[is_reduced[row + 1 : end]]
        for colour in colours:
            if not len(others):
                break
            others = others[np.abs(colour[others] - colour[row]) <= TOLERANCE]
        if len(others):
            similar.update(others[is_reduced[others]].tolist(), [row] if is_reduced[row] else [])
    return set(order[sorted(similar)].tolist())


def _kind(one: Sequence[str], other: Sequence[str]) -> str:
    """Return the kind of problem of two equal images at `one` and `other`: (split, class, name)."""
    if one[1] != other[1]:
        return "same picture under two labels"
    if one[0] == other[0]:
        return "same picture twice"
    if "train" in (one[0], other[0]):
        return "same picture in train and another split"
    return "same picture in val and test"

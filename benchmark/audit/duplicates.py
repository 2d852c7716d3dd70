"""Find equal pictures of a dataset, also of other formats and names.

Images decoded in full are compared by a digest of their pixels. A photograph decoded at a reduced
scale has no such digest: it is decoded in full if it may equal another image of its size. At the
same scale, this is one with equal pixels: two JPEGs that differ at a reduced scale contain other
coefficients, and also differ in full. At another scale it is one with a similar thumbnail.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

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
    facts = {path: image for path in paths if (image := store.of_path(path)) and not image.problem}
    by_content = {image.md5: path for path, image in facts.items()}
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
        if image := store.of_path(path):
            by_pixels[image.pixels or image.md5].append(path)
    for first, *copies in by_pixels.values():
        for copy in copies:
            kind = _kind(first.relative_to(root).parts, copy.relative_to(root).parts)
            yield Problem(kind, relative(copy, root), f"as {relative(first, root)}")


def _undecided(facts: Mapping[Path, ImageFacts]) -> Iterator[str]:
    """Yield the MD5 of each image without a digest of its pixels that may equal another one."""
    by_shape: dict[tuple[int, int], dict[str, ImageFacts]] = defaultdict(dict)
    for image in facts.values():
        if not image.values:  # an image of more than 8 bits has a digest
            by_shape[image.height, image.width][image.md5] = image
    for images in by_shape.values():
        by_digest: dict[str, list[str]] = defaultdict(list)
        for md5, image in images.items():
            by_digest[image.reduced].append(md5)
        equal = {md5 for d, names in by_digest.items() if d and len(names) > 1 for md5 in names}
        similar: set[str] = set()
        if len({_scale(image) for image in images.values()}) > 1:
            has_thumbnails = all(image.thumbnail for image in images.values())
            similar = _similar(images) if has_thumbnails else {*images}
        yield from (md5 for md5 in images if md5 in equal | similar and not images[md5].pixels)


def _scale(image: ImageFacts) -> str:
    """Return a text that is the same for all images of one shape that were decoded at one scale."""
    return image.reduced.rpartition(" ")[0]


def _similar(images: Mapping[str, ImageFacts]) -> set[str]:
    """Return the MD5 of each image whose thumbnail resembles that of an image of another scale.

    Images are sorted by the first colour, so that each is compared with few others.
    """
    rows = b"".join(bytes.fromhex(image.thumbnail) for image in images.values())
    thumbnails = np.frombuffer(rows, np.uint8).reshape(len(images), -1).astype(np.int16)
    order = np.argsort(thumbnails[:, 0], kind="stable")
    scales = np.array([_scale(image) for image in images.values()])[order]
    colours = np.ascontiguousarray(thumbnails[order].T)
    ends = np.searchsorted(colours[0], colours[0] + TOLERANCE, side="right")
    similar: set[int] = set()
    for row, end in enumerate(ends):
        candidates = np.arange(row + 1, end)
        candidates = candidates[scales[row + 1 : end] != scales[row]]
        for colour in colours:
            if not len(candidates):
                break
            candidates = candidates[np.abs(colour[candidates] - colour[row]) <= TOLERANCE]
        if len(candidates):
            similar.update(candidates.tolist(), [row])
    names = [*images]
    return {names[position] for position in order[sorted(similar)]}


def _kind(one: Sequence[str], other: Sequence[str]) -> str:
    """Return the kind of problem of two equal images at `one` and `other`: (split, class, name)."""
    if one[1] != other[1]:
        return "same picture under two labels"
    if one[0] == other[0]:
        return "same picture twice"
    if "train" in (one[0], other[0]):
        return "same picture in train and another split"
    return "same picture in val and test"

"""Decode one image file once: its facts, and its pixels at the scale that a cache needs."""

import errno
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmark.data.decoding import (
    JPEGS,
    NotFiniteError,
    Shape,
    Values,
    load_opened,
    may_be_reduced,
    open_image,
    upright_shape,
)
from benchmark.data.formats import content_name

THUMBNAIL = (4, 4)
"""Width and height of a thumbnail in pixels."""

DIGESTED_ROWS = 8
"""One of this number of rows is in the digest of an image that was decoded at a reduced scale."""


class ImageFacts(NamedTuple):
    """Properties of an image, or what is wrong with it: a function of the file's content."""

    pixels: str = ""
    """Digest of all upright RGB pixels, or of values of more than 8 bits; empty if the image was
    decoded at a reduced scale or cannot be read."""
    thumbnail: str = ""
    """Mean colours of the upright image's THUMBNAIL cells, as hexadecimal bytes; empty for more
    than 8 bits, and for images so small that a JPEG of their size was decoded in full."""
    height: int = 0
    """Height of the upright image in pixels."""
    width: int = 0
    """Width of the upright image in pixels."""
    format: str = ""
    """Pillow's name of the format."""
    frames: int = 1
    """Number of frames; more than 1 if the image is animated."""
    values: Sequence[float] = ()
    """Smallest value, first and last percentile, and largest value of an image of more than 8 bits;
    empty for another one."""
    problem: str = ""
    """A key of problems.KINDS; empty if the image can be read."""
    detail: str = ""
    """The decoder's error message; empty without one."""
    reduced: str = ""
    """Height and width at a reduced scale, and a digest of some pixels of that scale; empty if the
    image was decoded in full."""
    md5: str = ""
    """MD5 of the file, by which DVC pins it; empty if the file cannot be read."""


def examine(
    path: Path, content: bytes | None = None, stored: Shape | None = None
) -> tuple[ImageFacts, Image.Image | Values | None]:
    """Decode the file `path` once; return its facts without MD5, and the decoded image.

    The decoded image is that of `decoding.load_opened`, which describes the arguments too; None if
    the facts name a problem.

    Raises:
        OSError: too many files are open, which says nothing about this one.
    """
    try:
        if not (path.stat().st_size if content is None else len(content)):
            return ImageFacts(problem="empty file"), None
        return _decode(path, content, stored)
    except UnidentifiedImageError:
        problem, detail = "not an image", content_name(path)
    except NotFiniteError:
        problem, detail = "values that are not finite", ""
    except Image.DecompressionBombError as error:
        problem, detail = "decompression bomb", str(error)
    except Exception as error:  # a damaged file can raise anything in Pillow's decoders
        problem, detail = "damaged image", str(error) or type(error).__name__
        if isinstance(error, OSError) and error.errno:  # the system's error, not the decoder's
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            problem, detail = "not readable", error.strerror or ""
    return ImageFacts(problem=problem, detail=detail), None


def pixel_digest(decoded: Image.Image | Values) -> str:
    """Return a digest of the shape and all pixels or values that `decoding.load` returned."""
    data: Any = np.asarray(decoded)
    if not isinstance(decoded, Image.Image):
        data = np.asarray(decoded, "<i8" if decoded.dtype.kind in "iu" else "<f8")
    height, width = data.shape[:2]
    digest = hashlib.sha256(b"%dx%d" % (width, height))
    digest.update(np.ascontiguousarray(data).data)
    return digest.hexdigest()[:32]


def _decode(
    path: Path, content: bytes | None, stored: Shape | None
) -> tuple[ImageFacts, Image.Image | Values]:
    with open_image(path, content) as image:
        name = str(image.format)
        shape = upright_shape(image) if name in JPEGS else None
        decoded = load_opened(image, path, content, stored)
    pixels, thumbnail, reduced, frames = "", "", "", 1
    values: Sequence[float] = ()
    if isinstance(decoded, Image.Image):
        decoded_shape = decoded.height, decoded.width
    else:
        values = np.percentile(decoded, (0, 1, 99, 100), method="nearest").tolist()
        decoded_shape = decoded.shape[:2]
    height, width = shape or decoded_shape
    if isinstance(decoded, Image.Image) and (
        stored is None or may_be_reduced((height, width), stored)
    ):
        thumbnail = decoded.resize(THUMBNAIL, Image.Resampling.BOX).tobytes().hex()
    if (height, width) == decoded_shape:
        pixels = pixel_digest(decoded)
    else:
        rows = np.asarray(decoded)[::DIGESTED_ROWS].tobytes()
        reduced = f"{decoded_shape} {hashlib.sha256(rows).hexdigest()[:32]}"
    if name in JPEGS:
        name = "JPEG"
    else:
        # a later frame may be damaged: the first one is read
        with suppress(Exception), open_image(path, content) as image:
            frames = int(getattr(image, "n_frames", 1))
    facts = ImageFacts(pixels, thumbnail, height, width, name, frames, values, reduced=reduced)
    return facts, decoded

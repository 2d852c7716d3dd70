"""Decode one image file completely and return its facts."""

import errno
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmark.data.decoding import NotFiniteError, load, open_image
from benchmark.data.formats import content_name
from benchmark.errors.user_error import UserError

PHONE_FORMAT = "MPO"
"""Pillow's name of a JPEG that is followed by more pictures, as phones write previews."""


class ImageFacts(NamedTuple):
    """Properties of an image, or what is wrong with it."""

    pixels: str = ""
    """Digest of the upright RGB pixels, or of values of more than 8 bits; empty if the image cannot
    be read."""
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
    md5: str = ""
    """MD5 of the file, by which DVC pins it; empty if the image cannot be read."""


def examine(path: Path) -> ImageFacts:
    """Decode the file `path` as training does; return its facts, or the problem.

    Raises:
        OSError: too many files are open, which says nothing about this one.
    """
    try:
        if not path.stat().st_size:
            return ImageFacts(problem="empty file")
        return _decode_facts(path)
    except UnidentifiedImageError:
        return ImageFacts(problem="not an image", detail=content_name(path))
    except NotFiniteError:
        return ImageFacts(problem="values that are not finite")
    except UserError as error:
        return ImageFacts(problem="damaged image", detail=error.what)
    except Image.DecompressionBombError as error:
        return ImageFacts(problem="decompression bomb", detail=str(error))
    except Exception as error:  # a damaged file can raise anything in Pillow's decoders
        if isinstance(error, OSError) and error.errno:  # the system's error, not the decoder's
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return ImageFacts(problem="not readable", detail=error.strerror or "")
        return ImageFacts(problem="damaged image", detail=str(error) or type(error).__name__)


def _decode_facts(path: Path) -> ImageFacts:
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    with open_image(path) as image:
        format_name, frames = str(image.format), 1
        if format_name == PHONE_FORMAT:
            format_name = "JPEG"
        else:
            with suppress(Exception):  # a later frame may be damaged: the first one is read
                frames = int(getattr(image, "n_frames", 1))
    content = load(path)
    values: Sequence[float] = ()
    if isinstance(content, Image.Image):
        width, height = content.size
        data = content.tobytes()
    else:
        height, width = content.shape[:2]
        values = np.percentile(content, (0, 1, 99, 100), method="nearest").tolist()
        data = np.asarray(content, "<i8" if content.dtype.kind in "iu" else "<f8").tobytes()
    pixels = hashlib.sha256(b"%dx%d" % (width, height) + data).hexdigest()[:32]
    return ImageFacts(pixels, height, width, format_name, frames, values, md5=md5)

"""Decode one image file completely and return its facts."""

import errno
import hashlib
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from benchmark.data.folder import decode, open_image
from benchmark.errors.user_error import UserError

PHONE_FORMAT = "MPO"
"""Pillow's name of a JPEG that is followed by more pictures, as phones write previews."""


class ImageFacts(NamedTuple):
    """Properties of an image, or what is wrong with it."""

    pixels: str = ""
    """Digest of the upright RGB pixels; empty if the image cannot be read."""
    height: int = 0
    """Height of the upright image in pixels."""
    width: int = 0
    """Width of the upright image in pixels."""
    format: str = ""
    """Pillow's name of the format."""
    frames: int = 1
    """Number of frames; more than 1 if the image is animated."""
    problem: str = ""
    """A key of problems.KINDS; empty if the image can be read."""
    detail: str = ""
    """The decoder's error message; empty without one."""


def examine(path: Path) -> ImageFacts:
    """Decode the file `path` as training does; return its facts, or the problem.

    Raises:
        OSError: too many files are open, which says nothing about this one.
    """
    try:
        if not path.stat().st_size:
            return ImageFacts(problem="empty file")
        return _decode_facts(path)
    except PermissionError:
        return ImageFacts(problem="not readable")
    except UnidentifiedImageError:
        return ImageFacts(problem="not an image")
    except UserError as error:
        return ImageFacts(problem="damaged image", detail=error.what)
    except Image.DecompressionBombError as error:
        return ImageFacts(problem="decompression bomb", detail=str(error))
    except Exception as error:  # a damaged file can raise anything in Pillow's decoders
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise
        return ImageFacts(problem="damaged image", detail=str(error) or type(error).__name__)


def _decode_facts(path: Path) -> ImageFacts:
    with open_image(path) as image:
        format_name, frames = str(image.format), int(getattr(image, "n_frames", 1))
    if format_name == PHONE_FORMAT:
        format_name, frames = "JPEG", 1
    upright = decode(path)
    content = b"%dx%d" % upright.size + upright.tobytes()
    pixels = hashlib.sha256(content).hexdigest()[:32]
    return ImageFacts(pixels, upright.height, upright.width, format_name, frames)

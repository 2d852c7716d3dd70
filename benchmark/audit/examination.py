"""One image, opened and decoded fully: what it is, or what is wrong with it."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from benchmark.data.folder import decode, opened
from benchmark.errors.user_error import UserError

PHONES = "MPO"
"""A JPEG with further pictures behind it, previews or depths, as phones write it."""


class Facts(NamedTuple):
    """What is known of an image."""

    pixels: str = ""
    """Digest of the upright RGB pixels; empty if they cannot be read."""
    height: int = 0
    """Upright."""
    width: int = 0
    """Upright."""
    format: str = ""
    """As Pillow calls it."""
    frames: int = 1
    """More than one if it is animated."""
    problem: str = ""
    """A kind of problems.KINDS; empty if it can be read."""
    detail: str = ""
    """What the decoder said."""


def examine(path: Path) -> Facts:
    """Read the file `path` as training will read it."""
    try:
        if not path.stat().st_size:
            return Facts(problem="empty file")
        return _decoded(path)
    except PermissionError:
        return Facts(problem="not readable")
    except UnidentifiedImageError:
        return Facts(problem="no image")
    except UserError as error:
        return Facts(problem="damaged image", detail=error.what)
    except Image.DecompressionBombError as error:
        return Facts(problem="decompression bomb", detail=str(error))
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        return Facts(problem="damaged image", detail=str(error) or type(error).__name__)


def _decoded(path: Path) -> Facts:
    with opened(path) as image:
        form, frames = str(image.format), int(getattr(image, "n_frames", 1))
    if form == PHONES:
        form, frames = "JPEG", 1
    upright = decode(path)
    content = b"%dx%d" % upright.size + upright.tobytes()
    pixels = hashlib.sha256(content).hexdigest()[:32]
    return Facts(pixels, upright.height, upright.width, form, frames)

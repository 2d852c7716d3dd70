"""Decode image files to upright RGB with 8 bits per channel.

Files of more than 8 bits rarely use all of them: a camera of 12 bits writes 0 to 4095 into 16 bits.
So the scale on which they become 8 bits is a property of the dataset: the ValueRange of all its
images.

JPEGs that are stored much smaller than they are get decoded at a reduced scale of 1/2, 1/4 or 1/8:
libjpeg reads all of the file, but computes only the pixels of that scale.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from operator import methodcaller
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageFile,
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401  # else Pillow loads the plugins of all formats at the first open
)

from benchmark.data.formats import PILLOW_FORMATS, content_name
from benchmark.errors.user_error import REMEDIES, UserError

ORIENTATION, PHOTOMETRIC, SAMPLE_FORMAT = 274, 262, 339
"""Numbers of tags: EXIF's orientation; whether 0 is white in a TIFF; its kind of numbers."""
METADATA_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
"""Chunks of a PNG in which Pillow looks for the orientation."""
WHITE_IS_ZERO, UNSIGNED = 0, 1
"""Values of PHOTOMETRIC and SAMPLE_FORMAT that Pillow ignores for more than 8 bits."""
SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The other byte order of each of Pillow's raw modes: big, little and native."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What makes an image upright, by orientation. From 5 on, height and width change places."""

Values: TypeAlias = NDArray[Any]
"""Values of an image of more than 8 bits per channel, (height, width) or (height, width, 3)."""
Shape: TypeAlias = tuple[int, int]
"""Height and width of an upright image in pixels."""
JPEGS = ("JPEG", "MPO")
"""Pillow's names of JPEGs. An MPO is followed by more pictures, as phones write previews."""
MARGIN = 7, 5
"""A JPEG decoded at a reduced scale keeps at least 7/5 of the stored sides. Then the stored pixels
differ little from those of a full decode: by 40 dB or more, even if the finest detail is sharp."""
READ_AT_ONCE = 2**24
"""Bytes that Pillow gives to libjpeg at a time; with its own 64 KiB, decoding takes 8 % longer."""


class ValueRange(NamedTuple):
    """The smallest and the largest value of images of more than 8 bits: two ints or two floats."""

    low: float
    high: float

    def __str__(self) -> str:
        """Return the range in words, as "0 to 4,095"."""
        low, high = (f"{v:,}" if isinstance(v, int) else f"{v:,.6g}" for v in self)
        return f"{low} to {high}"


class NotFiniteError(UserError):
    """An image has values that are not finite numbers."""


class Header(NamedTuple):
    """What the header of an image file says."""

    height: int
    """Height of the upright image in pixels."""
    width: int
    """Width of the upright image in pixels."""
    deep: bool
    """Whether the image has more than 8 bits per channel."""


def merge(ranges: Iterable[ValueRange | None]) -> ValueRange | None:
    """Return the range that contains all `ranges`; None stands for images of 8 bits."""
    present = [values for values in ranges if values is not None]
    if not present:
        return None
    return ValueRange(min(low for low, _ in present), max(high for _, high in present))


def value_range(values: Values) -> ValueRange:
    """Return the smallest and the largest of an image's values."""
    return ValueRange(values.min().item(), values.max().item())


def to_uint8(values: Values, scale: ValueRange) -> NDArray[np.uint8]:
    """Convert an image's values to integers from 0 to 255.

    `scale` is the range of all values of the dataset. Black is 0, or `scale.low` if that is
    negative. Integers lose lower bits until the distance from black to `scale.high` fits 8 bits: if
    it fills 16 bits, the upper byte stays. For floats, 256 equal steps lead from black to
    `scale.high`.
    """
    low = min(0, scale.low)
    span = scale.high - low
    levels: Values
    if isinstance(span, int):
        levels = (values.astype(np.int64) - int(low)) >> max(0, span.bit_length() - 8)
    else:
        levels = (values.astype(np.float64) - low) * (256 / span if span else 0)
    return levels.clip(0, 255).astype(np.uint8)


@contextmanager
def open_image(path: Path, content: bytes | None = None) -> Iterator[ImageFile.ImageFile]:
    """Open the image in `path`, of one of FORMATS, without decoding it, while a `with` block runs.

    `content` are the file's bytes, if they are in memory. Pillow never gets a path: given a path,
    it maps a TIFF into memory, and garbles it if its orientation exchanges height and width.
    """
    with (
        path.open("rb") if content is None else io.BytesIO(content) as file,
        Image.open(file, formats=PILLOW_FORMATS) as image,
    ):
        yield image


def read_header(path: Path) -> Header:
    """Read the header of the image in `path`.

    Raises:
        UserError: the file cannot be read as an image.
    """
    try:
        with open_image(path) as image:
            deep = image.mode[0] in "IF" or bool(_wide_rawmodes(image))
            return Header(*upright_shape(image), deep)
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise _unreadable(path, error) from None


def upright_shape(image: ImageFile.ImageFile) -> Shape:
    """Return the height and width of an opened image when it is upright, without decoding it.

    Only a PNG whose metadata follow the pixels is decoded.
    """
    width, height = image.size
    if image.format == "PNG" and not _has_late_metadata(image):
        orientation = _orientation(image, Image.Image.getexif)  # a PNG's own method decodes
    else:
        orientation = _orientation(image)
    return (width, height) if orientation >= 5 else (height, width)


def _has_late_metadata(png: ImageFile.ImageFile) -> bool:
    """Return whether an opened PNG has metadata after its pixels; they may tell its orientation."""
    assert png.fp is not None
    position, is_late = png.fp.tell(), False
    png.fp.seek(8)
    try:
        while len(start := png.fp.read(8)) == 8:
            kind = start[4:]
            if is_late and kind in METADATA_CHUNKS:
                return True
            is_late |= kind == b"IDAT"
            png.fp.seek(int.from_bytes(start[:4]) + 4, os.SEEK_CUR)  # the data and a checksum
        return False
    finally:
        png.fp.seek(position)


def load(path: Path, stored: Shape | None = None) -> Image.Image | Values:
    """Decode the image in `path` and turn it upright, as `load_opened`.

    Raises:
        UserError: the file cannot be read as an image.
    """
    try:
        with open_image(path) as image:
            return load_opened(image, path, stored=stored)
    except UserError:
        raise
    except Exception as error:  # as in `read_header`
        raise _unreadable(path, error) from None


def load_opened(
    image: ImageFile.ImageFile,
    path: Path,
    content: bytes | None = None,
    stored: Shape | None = None,
) -> Image.Image | Values:
    """Decode an opened image and turn it upright: RGB, or its values if they have more bits.

    Transparency is dropped as torchvision's loader drops it.

    Args:
        image: what `open_image` yields for `path` and `content`.
        path: the image's file.
        content: the file's bytes, if they are in memory.
        stored: height and width to which the image will be resized: a JPEG may be decoded at a
            reduced scale that is enough for it. None to decode in full.

    Raises:
        NotFiniteError: some values are not finite numbers.
        Exception: whatever a damaged file leads Pillow's decoders to.
    """
    if rawmodes := _wide_rawmodes(image):
        return _load_wide(path, content, rawmodes)
    if image.format in JPEGS:
        image.decodermaxblock = READ_AT_ONCE
        if stored is not None:
            height, width = _enough(stored)
            image.draft(None, (height, width) if _orientation(image) >= 5 else (width, height))
    upright = _upright(image)
    if upright.mode[0] in "IF":
        return _values(np.asarray(upright), getattr(image, "tag_v2", {}), path)
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def may_be_reduced(shape: Shape, stored: Shape) -> bool:
    """Return whether a JPEG of this `shape` is decoded at a reduced scale to be `stored`."""
    return all(side // 2 >= enough for side, enough in zip(shape, _enough(stored), strict=True))


def _enough(stored: Shape) -> Shape:
    """Return the height and width that an image keeps at a reduced scale."""
    height, width = (-(-side * MARGIN[0] // MARGIN[1]) for side in stored)
    return height, width


def decode(path: Path, scale: ValueRange | None = None) -> Image.Image:
    """Decode the image in `path`: upright and RGB, whatever mode the file has.

    An image of more than 8 bits needs the `scale` of its dataset; without one, its own is used.

    Raises:
        UserError: the file cannot be read as an image.
    """
    return to_rgb(load(path), scale)


def to_rgb(decoded: Image.Image | Values, scale: ValueRange | None) -> Image.Image:
    """Return what `load` returned as RGB; values become 8 bits as `decode` describes."""
    if isinstance(decoded, Image.Image):
        return decoded
    return Image.fromarray(to_uint8(decoded, scale or value_range(decoded))).convert("RGB")


def read_pixels(path: Path, shape: Shape, scale: ValueRange | None = None) -> NDArray[np.uint8]:
    """Decode the image in `path` to `shape`, uint8 (height, width, 3), as the cache stores it."""
    return fit(load(path, stored=shape), shape, scale)


def fit(decoded: Image.Image | Values, shape: Shape, scale: ValueRange | None) -> NDArray[np.uint8]:
    """Return what `load` returned as uint8 (height, width, 3), resized to `shape` if necessary.

    Resizing uses antialiasing.
    """
    image, (height, width) = to_rgb(decoded, scale), shape
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _upright(image: Image.Image) -> Image.Image:
    """Decode an opened image and turn it upright.

    ImageOps.exif_transpose also writes the EXIF data back, which fails if some of it is unusual.
    """
    turn = TURNS.get(_orientation(image))
    image.load()
    return image if turn is None else image.transpose(turn)


def _orientation(
    image: Image.Image, getexif: Callable[[Image.Image], Image.Exif] = methodcaller("getexif")
) -> int:
    """Return EXIF's orientation; 1 (upright) if it is unreadable, or if Pillow turns the image.

    Some programs write it as a fraction or as text.
    """
    value: Any = 1
    if image.format != "TIFF":
        with suppress(Exception):  # damaged EXIF data does not make the pixels unreadable
            value = getexif(image).get(ORIENTATION, 1)
            value = int(value[0] if isinstance(value, tuple | bytes) else value)
    return value if value in TURNS else 1


def _values(values: Values, tags: Mapping[int, Any], path: Path) -> Values:
    """Return the values that Pillow decoded, with TIFF's `tags` applied that Pillow ignores."""
    if values.dtype == np.int32 and tags.get(SAMPLE_FORMAT, (2,))[0] == UNSIGNED:
        values = values.view(np.uint32)
    if not np.isfinite(values).all():
        raise NotFiniteError(
            f"{path} has values that are not finite numbers.", "Replace these: numpy.nan_to_num."
        )
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = -values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
    return values


def _wide_rawmodes(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Return the raw modes that read both bytes of each value of an opened 16-bit image.

    The image has colour, or grey with transparency; for any other image, return (). Pillow itself
    reads only the upper bytes of these. Colour needs two raw modes: the first reads the upper
    bytes, and the second, with the other byte order, the lower ones. Grey needs one, which reads
    the upper byte as the first channel and the lower byte as the second.
    """
    if not image.tile:
        return ()
    arguments: Any = image.tile[0].args or ("",)
    if image.tile[0].codec_name == "ppm":
        return ("RGB;16B", "RGB;16L") if arguments == ("RGB", 65535) else ()
    rawmode = arguments if isinstance(arguments, str) else str(arguments[0])
    if rawmode == "LA;16B":
        return ("RGBA",)
    channels, _, order = rawmode.partition(";16")
    if channels not in ("RGB", "RGBX", "RGBA") or order not in SWAPPED:
        return ()
    return rawmode, f"{channels};16{SWAPPED[order]}"


def _load_wide(path: Path, content: bytes | None, rawmodes: tuple[str, ...]) -> Values:
    """Decode an image of 16-bit colour or of 16-bit grey with transparency, and turn it upright."""
    passes = []
    for rawmode in rawmodes:
        with open_image(path, content) as image:
            image.tile = [_with_rawmode(tile, rawmode) for tile in image.tile]
            passes.append(np.asarray(_upright(image)))
    if len(passes) == 1:
        upper, lower = passes[0][..., 0], passes[0][..., 1]
    else:
        upper, lower = (channels[..., :3] for channels in passes)
    return upper.astype(np.uint16) << 8 | lower


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    """Return one of Pillow's instructions to decode, with another raw mode."""
    if tile.codec_name == "ppm":
        return tile._replace(codec_name="raw", args=(rawmode, 0, 1))
    return tile._replace(args=rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:]))


def _unreadable(path: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return error  # the image may be good, and `explain_system_errors` knows the remedy
    if isinstance(error, OSError) and error.errno:
        return UserError(f"{path} cannot be read: {error.strerror}.", "Look at the disk.")
    if not isinstance(error, UnidentifiedImageError):
        reason = str(error) or type(error).__name__
        return UserError(f"{path} cannot be read: {reason}.", "Replace or remove it.")
    with suppress(OSError):
        if name := content_name(path):
            return UserError(f"{path} is {name}, which is not read.", "Convert it to JPEG or PNG.")
    return UserError(f"{path} is not an image.", "Replace or remove it.")

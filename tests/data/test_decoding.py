"""Images of any depth, format and orientation become upright RGB of 8 bits, on one scale."""

import errno
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.data.cache import DecodeCache
from benchmark.data.decoding import (
    ValueRange,
    decode,
    load,
    merge,
    read_header,
    to_uint8,
)
from benchmark.data.examination import examine
from benchmark.data.folder import scan
from benchmark.errors.user_error import UserError, explain_system_errors

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
"""Every value of 12 bits."""
RED = (200, 30, 40)


def tiff(path: Path, values: np.ndarray, order: str = "<", **tags: int) -> Path:
    """Write an uncompressed TIFF, whose `values` and `tags` Pillow's writer would change."""
    values = values.reshape(*values.shape[:2], -1)
    height, width, samples = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    bits = values.dtype.itemsize * 8
    fields = {
        256: [width], 257: [height], 258: [bits] * samples, 259: [1],
        262: [tags.get("photometric", 2 if samples > 2 else 1)], 273: [8],
        274: [tags.get("orientation", 1)], 277: [samples], 278: [height], 279: [len(data)],
        339: [kind] * samples,
    }  # fmt: skip
    if samples in (2, 4):
        fields[338] = [2]  # alpha that is not premultiplied
    end, lists, entries = 8 + len(data) + 2 + 12 * len(fields) + 4, b"", b""
    for tag, numbers in sorted(fields.items()):
        form = "I" if tag in (273, 279) else "H"
        packed = struct.pack(order + form * len(numbers), *numbers)
        if len(packed) > 4:
            packed, lists = struct.pack(order + "I", end + len(lists)), lists + packed
        entries += struct.pack(order + "HHI", tag, 4 if form == "I" else 3, len(numbers))
        entries += packed.ljust(4, b"\0")
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8 + len(data))
    directory = struct.pack(order + "H", len(fields)) + entries + bytes(4)
    path.write_bytes(start + data + directory + lists)
    return path


def png(path: Path, values: np.ndarray) -> Path:
    """Write a PNG of 16 bits per channel, which Pillow cannot write in colour."""
    values = values.reshape(*values.shape[:2], -1)
    height, width, channels = values.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values.reshape(height, -1))
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0),
        b"IDAT": zlib.compress(lines),
        b"IEND": b"",
    }
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    ))  # fmt: skip
    return path


def portable(path: Path, values: np.ndarray) -> Path:
    """Write a PGM or PPM of 16 bits per channel."""
    kind, (height, width) = b"P5" if values.ndim == 2 else b"P6", values.shape[:2]
    path.write_bytes(kind + b"\n%d %d\n65535\n" % (width, height) + values.astype(">u2").tobytes())
    return path


def colour(channels: int) -> np.ndarray:
    """Make values of 12 bits that differ between the channels, (64, 64, channels)."""
    return np.stack([np.roll(RAMP, 7 * channel, axis=1) for channel in range(channels)], axis=-1)


DEEP: dict[str, Any] = {
    "grey.png": lambda path: png(path, RAMP),
    "grey and alpha.png": lambda path: png(path, colour(2)),
    "colour.png": lambda path: png(path, colour(3)),
    "colour and alpha.png": lambda path: png(path, colour(4)),
    "grey.pgm": lambda path: portable(path, RAMP),
    "colour.ppm": lambda path: portable(path, colour(3)),
    **{
        f"{name} {order}.tif": lambda path, values=values, order=order: tiff(path, values, order)
        for order in "<>"
        for name, values in {
            "grey": RAMP, "signed": RAMP.astype(np.int16), "long": RAMP.astype(np.int32),
            "float": RAMP.astype(np.float32), "colour": colour(3), "colour and alpha": colour(4),
        }.items()
    },
    "unsigned.tif": lambda path: tiff(path, RAMP.astype(np.uint32)),
    "big endian.tif": lambda path: Image.frombytes(
        "I;16B", (64, 64), RAMP.astype(">u2").tobytes()
    ).save(path),
}  # fmt: skip
"""Images of 12 bits in files that could contain more, and the function that writes each."""


@pytest.mark.parametrize("name", DEEP)
def test_twelve_bits_keep_all_grey_levels_that_eight_bits_have(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    DEEP[name](path)
    assert read_header(path) == (64, 64, True)
    assert examine(path)[0].values[::3] == [0, 4095]
    expected = RAMP if "colour" not in name else colour(3)
    pixels = np.asarray(decode(path, ValueRange(0, 4095)))
    np.testing.assert_array_equal(
        pixels, np.broadcast_to((expected >> 4).reshape(64, 64, -1), (64, 64, 3))
    )


def test_full_sixteen_bits_keep_the_upper_byte(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (9, 9, 3), dtype=np.uint16)
    grey, rgb = png(tmp_path / "grey.png", values[..., 0]), png(tmp_path / "rgb.png", values)
    for high in (2**15, 2**16 - 1):
        scale = ValueRange(3, high)
        np.testing.assert_array_equal(np.asarray(decode(grey, scale))[..., 0], values[..., 0] >> 8)
        np.testing.assert_array_equal(np.asarray(decode(rgb, scale)), values >> 8)


@pytest.mark.parametrize(
    ("values", "scale", "expected"),
    [
        ([0, 100, 255], (0, 255), [0, 100, 255]),  # 8 bits in 16 are not black
        ([0, 7], (0, 7), [0, 7]),
        ([-1024, 0, 3071], (-1024, 3071), [0, 64, 255]),  # Hounsfield units
        ([0, 2**31, 2**32 - 1], (0, 2**32 - 1), [0, 128, 255]),
        ([0.0, 0.5, 1.0], (0.0, 1.0), [0, 128, 255]),
        ([-1.0, 0.0, 1.0], (-1.0, 1.0), [0, 128, 255]),
        ([0.0, 0.0], (0.0, 0.0), [0, 0]),
        ([0, 4095], (0, 65535), [0, 15]),  # another image of the dataset is brighter
    ],
)
def test_the_range_of_the_dataset_decides(values: list, scale: Any, expected: list) -> None:
    kind = np.float32 if isinstance(values[0], float) else np.int64
    assert to_uint8(np.array(values, kind), ValueRange(*scale)).tolist() == expected


def test_unsigned_numbers_of_32_bits_stay_positive(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", RAMP.astype(np.uint32) << 20)
    np.testing.assert_array_equal(np.asarray(decode(path))[..., 0], RAMP >> 4)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_where_zero_is_white_the_image_is_not_its_negative(tmp_path: Path, kind: type) -> None:
    levels = RAMP >> 4 if kind == np.uint8 else RAMP
    path = tiff(tmp_path / "x.tif", (levels.max() - levels).astype(kind), photometric=0)
    difference = np.asarray(decode(path))[..., 0].astype(int) - (RAMP >> 4)
    assert np.abs(difference).max() <= (kind == np.float32)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32)
    values[0, 0] = np.nan
    with pytest.raises(UserError, match=r"x\.tif has values that are not finite numbers\. Repl"):
        load(tiff(tmp_path / "x.tif", values))


def test_a_range_of_ranges_contains_all() -> None:
    assert merge([None, None]) is None
    assert merge([None, ValueRange(3, 9), ValueRange(-1, 5)]) == (-1, 9)


def test_all_images_and_splits_share_one_scale(tmp_path: Path) -> None:
    """The brightest image is in the test split, and each split has one of the same content."""
    for split in ("train", "val", "test"):
        for label in range(2):
            folder = tmp_path / "data" / split / str(label)
            folder.mkdir(parents=True)
            Image.fromarray(RAMP >> 2).save(folder / "dark.png")
            Image.new("RGB", (64, 64), RED).save(folder / "bytes.png")
    Image.fromarray(RAMP).save(tmp_path / "data/test/1/bright.png")
    files = scan(tmp_path / "data")
    for limit in (0.0, 1.0):  # decoded for each batch, and stored
        cache = DecodeCache(files, 64, tmp_path / ".cache", limit)
        cache.prepare()
        pixels = cache.open().take(np.arange(len(files.paths)))
        for path, image in zip(files.paths, pixels, strict=True):
            expected = {
                "dark.png": (RAMP >> 6)[..., None], "bright.png": (RAMP >> 4)[..., None],
                "bytes.png": np.array(RED),
            }[path.name]  # fmt: skip
            np.testing.assert_array_equal(image, np.broadcast_to(expected, (64, 64, 3)))


UPRIGHT = np.zeros((20, 30, 3), np.uint8)
UPRIGHT[:10, :15] = 255
STORED = {
    1: UPRIGHT, 2: UPRIGHT[:, ::-1], 3: UPRIGHT[::-1, ::-1], 4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2), 6: np.rot90(UPRIGHT),
    7: UPRIGHT.transpose(1, 0, 2)[::-1, ::-1], 8: np.rot90(UPRIGHT, 3),
}  # fmt: skip
"""The image UPRIGHT as it is stored with each orientation."""


FIELDS = {
    "short": (3, lambda n: struct.pack(">HH", n, 0)),
    "byte": (1, lambda n: bytes([n, 0, 0, 0])),
    "long": (4, lambda n: struct.pack(">I", n)),
    "rational": (5, lambda n: struct.pack(">II", n, 1)),
    "signed rational": (10, lambda n: struct.pack(">ii", 2 * n, 2)),
    "double": (12, lambda n: struct.pack(">d", n)),
    "text": (2, lambda n: b"%d\0\0\0" % n),
}
"""Types of an EXIF field, with which programs write the orientation, and its content."""


def exif(orientation: int, kind: str = "short", more: bytes = b"") -> bytes:
    """Make EXIF data with an orientation of any type, and one `more` entry of 12 bytes."""
    number, pack = FIELDS[kind]
    content = pack(orientation)
    count, end = (2 if kind == "text" else 1), 8 + 2 + 12 * (1 + bool(more)) + 4
    value = content if len(content) == 4 else struct.pack(">I", end)
    entry = struct.pack(">HHI", 0x0112, number, count) + value
    data = b"MM\0*\0\0\0\x08" + struct.pack(">H", 1 + bool(more)) + entry + more + bytes(4)
    return b"Exif\0\0" + data + content * (len(content) > 4)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "lzw.tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_rotated_photograph_is_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    """The top left pixel of the upright image is where EXIF says that it is."""
    path = tmp_path / f"photo.{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    if suffix == "lzw.tif":
        options = {"compression": "tiff_lzw"}
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(path, exif=tags, **options)
    assert read_header(path) == (20, 30, False)
    np.testing.assert_array_equal(np.asarray(decode(path)), UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
def test_a_rotated_image_of_many_bits_is_upright(tmp_path: Path, orientation: int) -> None:
    stored = STORED[orientation].astype(np.uint16) * 257
    grey = tiff(tmp_path / "grey.tif", stored[..., 0], orientation=orientation)
    rgb = tiff(tmp_path / "rgb.tif", stored, orientation=orientation)
    for path in (grey, rgb):
        assert read_header(path) == (20, 30, True)
        np.testing.assert_array_equal(np.asarray(decode(path)), UPRIGHT)


@pytest.mark.parametrize("kind", FIELDS)
def test_the_orientation_may_have_any_type(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (30, 20)).save(path, exif=exif(6, kind))
    assert read_header(path) == (30, 20, False)
    assert decode(path).size == (20, 30)


@pytest.mark.parametrize(
    "more",
    [
        struct.pack(">HHII", 0x011A, 5, 1, 10_000),  # a resolution after the end of the data
        struct.pack(">HHII", 0x8769, 4, 1, 10_000),  # details after the end
        struct.pack(">HHII", 0x0131, 99, 1, 0),  # of a type that does not exist
        struct.pack(">HHII", 0x9286, 2, 70_000, 0),  # a comment after the end
        struct.pack(">HHII", 0x0100, 5, 1, 8),  # a width as a fraction
        struct.pack(">HHII", 0x0102, 4, 1, 2**32 - 1),  # more bits than the field can have
    ],
)
@pytest.mark.filterwarnings("ignore")  # Pillow reports what it skips
def test_damaged_exif_data_does_not_make_an_image_unreadable(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(np.ascontiguousarray(STORED[6])).save(path, exif=exif(6, "rational", more))
    np.testing.assert_array_equal(np.asarray(decode(path)), UPRIGHT)


@pytest.mark.parametrize("content", [exif(0), exif(9), exif(262), exif(0, "double"), b"Exif\0\0?"])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path, content: bytes) -> None:
    """The image's shape is that of its pixels: training would stretch it otherwise."""
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png", exif=content)
    assert read_header(tmp_path / "photo.png") == (20, 30, False)
    assert decode(tmp_path / "photo.png").size == (30, 20)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm"])
@pytest.mark.parametrize("name", ["a", "a.jpg"])
def test_every_format_is_read_whatever_its_suffix(tmp_path: Path, suffix: str, name: str) -> None:
    """Oxford-IIIT Pets has GIFs that are called .jpg."""
    path = tmp_path / f"{name}.{suffix}"
    Image.new("RGB", (30, 20), RED).save(path)
    path = path.rename(tmp_path / name)
    assert read_header(path) == (20, 30, False)
    assert np.abs(np.asarray(decode(path), dtype=int) - RED).max() <= 3


def test_the_first_frame_is_used_whatever_follows(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (30, 20), colour) for colour in (RED, (0, 0, 255)))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    content = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(content[:-20])
    assert (np.asarray(decode(tmp_path / "a.gif")) == RED).all()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x1cftypavif", "an AVIF image"),
        (b"\0\0\0\x18ftypheic", "a HEIC image"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's RAW file"),
        (b"\0\0\0\x18ftypmp42", "a video"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    ],
)
def test_a_format_that_is_not_read_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for read in (decode, read_header):
        with pytest.raises(UserError, match=rf"photo\.jpg is {name}, which is not read\. Convert"):
            read(path)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, r"Permission denied.* Change its owner"),
        (errno.EIO, r"output error.* Look at"),
    ],
)
def test_an_image_that_the_system_cannot_read_is_not_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    """root may read everything, so `open` is replaced by a function that refuses."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (4, 4)).save(path)

    def refuse(path: Path, mode: str) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    for read in (decode, read_header):
        with pytest.raises(UserError, match=message) as raised, explain_system_errors():
            read(path)
        assert "emove" not in str(raised.value)
    facts, _ = examine(path)
    assert (facts.problem, facts.detail) == ("not readable", os.strerror(number))


@pytest.mark.parametrize("late", [False, True])
def test_the_header_of_a_png_is_read_without_decoding_it(tmp_path: Path, late: bool) -> None:
    """Only metadata after the pixels need a decode; they may tell the orientation."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (30, 20)).save(path, exif=exif(6))
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4])
    chunk, rest = content[start:end], content[:start] + content[end:]
    if late:
        path.write_bytes(rest[:-12] + chunk + rest[-12:])
    else:
        path.write_bytes(content.replace(b"IDAT", b"IDAT")[: content.index(b"IDAT") + 8])
    assert read_header(path) == (30, 20, False)

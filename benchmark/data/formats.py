"""Formats of image files: those that are read, and names for those that are not."""

import re
from pathlib import Path

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP",
    ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM",
}  # fmt: skip
"""Pillow's format for each suffix. Pillow looks at the content: the suffix may be wrong."""
PILLOW_FORMATS = [*dict.fromkeys(FORMATS.values())]
"""Pillow's formats, in the order in which they are tried."""
FORMAT_NAMES = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM or PGM"
RAW = "a camera's RAW file"
SUFFIXES = {
    ".avif": "an AVIF image", ".heic": "a HEIC image", ".heif": "a HEIC image",
    ".jxl": "a JPEG XL image", ".jp2": "a JPEG 2000 image", ".dcm": "a DICOM file",
    **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), RAW),
}  # fmt: skip
"""Names of formats that are not read, by suffix."""
SIGNATURES = {
    rb".{4}ftypavi[fs]": "an AVIF image",
    rb".{4}ftyp(hei|hev|mif1|msf1)": "a HEIC image",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "a JPEG XL image",
    rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ": "a JPEG 2000 image",
    rb".{4}ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIR[OS]": RAW,
    rb".{128}DICM": "a DICOM file",
    rb"8BPS": "a Photoshop file",
    rb".{4}ftyp|\x1a\x45\xdf\xa3": "a video",
    rb"%PDF": "a PDF",
    rb"\s*(<\?xml[^>]*>\s*)?<svg": "an SVG drawing",
    rb"(?i)\s*<(!doctype )?html": "a web page",
    rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf": "an archive",
    rb"version https://git-lfs": "a pointer of Git LFS",
}
"""Names of formats that are not read, by a pattern of a file's first bytes."""


def content_name(path: Path) -> str:
    """Return what the content of `path` is, of the formats that are not read; or else ""."""
    with path.open("rb") as file:
        start = file.read(160)
    names = (name for pattern, name in SIGNATURES.items() if re.match(pattern, start, re.DOTALL))
    return next(names, "")

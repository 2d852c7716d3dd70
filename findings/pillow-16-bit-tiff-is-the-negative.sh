#!/usr/bin/env bash
# The same picture in 8 and in 16 bits: Pillow reads the second as the negative of the first.
#
# Seen with Pillow 13.0.0 and tifffile 2025.5.10 (Python 3.11). In a TIFF, 0 may mean white
# (PhotometricInterpretation 0, usual in radiography and for scans of film). Pillow inverts such an
# image of 8 bits and leaves one of 16 bits as it is stored, without a warning. A black corner of the
# picture has the value 0 in one and 65535 in the other. Big-endian files of this kind are not
# identified at all.
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 tifffile==2025.5.10 numpy==2.2.6
cd "$folder" && venv/bin/python - <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

stored = np.array([[255, 128, 0]], dtype=np.uint8)  # black, grey, white, since 0 is white
tifffile.imwrite("8.tif", stored, photometric="miniswhite")
tifffile.imwrite("16.tif", stored.astype(np.uint16) * 257, photometric="miniswhite")
tifffile.imwrite("16 big.tif", stored.astype(">u2") * 257, photometric="miniswhite", byteorder=">")
eight, sixteen = (np.asarray(Image.open(f"{bits}.tif")) for bits in (8, 16))
print("8 bits: ", eight.tolist())
print("16 bits:", sixteen.tolist())
assert eight.tolist() == [[0, 127, 255]]
assert sixteen.tolist() == [[65535, 32896, 0]]
try:
    Image.open("16 big.tif")
    raise SystemExit("16 bits, big-endian: identified")
except UnidentifiedImageError as error:
    print("16 bits, big-endian:", error)
PYTHON

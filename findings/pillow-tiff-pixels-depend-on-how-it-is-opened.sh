#!/usr/bin/env bash
# One TIFF, two pictures: Pillow garbles a turned, uncompressed TIFF if it is opened by its path.
#
# Seen with Pillow 13.0.0 and 11.3.0, not with 10.4.0 (Python 3.11), on a grey TIFF of 5 x 3 pixels
# with the orientation 6. Opened as a file, the image is upright, 3 x 5. Opened by its path, it is
# mapped into memory with height and width exchanged: 5 x 3, every row wrong, no warning. The same
# TIFF with compression is upright either way. It concerns orientations 5 to 8 of images that are
# mapped: grey (also of 16 bits), palette, RGBA and CMYK. torchvision's ImageFolder opens files, so
# it trains on other pixels than a loader that calls Image.open(path).
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0
cd "$folder" && venv/bin/python - <<'PYTHON'
from PIL import Image

stored = Image.frombytes("L", (5, 3), bytes(range(15)))
exif = Image.Exif()
exif[0x0112] = 6
upright = stored.transpose(Image.Transpose.ROTATE_270)
for compression in ("raw", "tiff_lzw"):
    stored.save("image.tif", exif=exif, compression=compression)
    with open("image.tif", "rb") as file:
        by_file = Image.open(file)
        by_file.load()
    by_path = Image.open("image.tif")
    by_path.load()
    for name, image in (("as a file", by_file), ("by its path", by_path)):
        print(compression, name, image.size, list(image.tobytes()))
    assert by_file.size == upright.size and by_file.tobytes() == upright.tobytes()
    assert (by_path.tobytes() == upright.tobytes()) == (compression == "tiff_lzw")
    assert by_path.size == ((5, 3) if compression == "raw" else (3, 5))
PYTHON

#!/usr/bin/env bash
# fastai: which files are training images depends on a system file that is not part of Python.
#
# Seen with fastai 2.8.12 (Python 3.11). get_image_files takes the extensions that Python's mimetypes
# module maps to image/*. That module also reads /etc/mime.types and the like, where a system has
# them. The same dataset has other samples in a container without that file, and no warning:
#   without the system's file  ['0.png', '1.svg']
#   with one line more         ['0.png', '1.svg', '2.nef']
# Before Python 3.13 the same is true of .webp. SVG counts always, although Pillow, with which fastai
# opens images, cannot read it.
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q fastai==2.8.12 torchvision==0.24.1 torch==2.9.1
mkdir -p "$folder/train/ant" && touch "$folder"/train/ant/{0.png,1.svg,2.nef}
echo 'image/x-nikon-nef nef' >"$folder/mime.types"
cat >"$folder/list_images.py" <<'PYTHON'
import mimetypes
import sys

mimetypes.knownfiles[:] = sys.argv[1:]  # the places where a system keeps such a file
from fastai.data.transforms import get_image_files  # noqa: E402

print(sorted(path.name for path in get_image_files("train")))
PYTHON
cd "$folder"
without=$(venv/bin/python list_images.py)
with=$(venv/bin/python list_images.py mime.types)
echo "without the system's file  $without"
echo "with one line more         $with"
test "$without" = "['0.png', '1.svg']"
test "$with" = "['0.png', '1.svg', '2.nef']"

#!/usr/bin/env bash
# One folder of images, two class numbers: timm sorts class names otherwise than torchvision.
#
# Seen with timm 1.0.31 and torchvision 0.24.1 (torch 2.9.1, Python 3.11). torchvision's ImageFolder
# sorts folders as strings. timm's reader lowers the case and compares digits as numbers. A head
# trained with one reader and evaluated with the other is wrong for every moved class. Neither warns:
#   torchvision  {'Zebra': 0, 'ant': 1, 'class1': 2, 'class10': 3, 'class2': 4}
#   timm         {'ant': 0, 'class1': 1, 'class2': 2, 'class10': 3, 'Zebra': 4}
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q timm==1.0.31 torchvision==0.24.1 torch==2.9.1
cd "$folder" && venv/bin/python - <<'PYTHON'
from pathlib import Path

from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

for name in ("class1", "class2", "class10", "Zebra", "ant"):
    Path("train", name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(Path("train", name, "0.png"))
by_torchvision = ImageFolder("train").class_to_idx
by_timm = create_dataset("", root="train").reader.class_to_idx
print("torchvision ", by_torchvision)
print("timm        ", by_timm)
assert list(by_torchvision) == ["Zebra", "ant", "class1", "class10", "class2"]
assert list(by_timm) == ["ant", "class1", "class2", "class10", "Zebra"]
PYTHON

#!/usr/bin/env bash
# Classes with subfolders: the label is the outer folder for torchvision, the inner one for timm and
# Hugging Face datasets.
#
# Seen with torchvision 0.24.1, timm 1.0.31, datasets 5.2.0 (torch 2.9.1, Python 3.11) on
# train/{cat,dog}/{2023,2024}/0.png. torchvision reads the subfolders as images of cat and dog. timm
# and datasets take the year as the class, so cats and dogs share labels. None warns:
#   torchvision  ['cat', 'dog']
#   timm         ['2023', '2024']
#   datasets     ['2023', '2024']
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datasets==5.2.0 timm==1.0.31 torchvision==0.24.1 torch==2.9.1
cd "$folder" && HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PYTHON'
from pathlib import Path

import datasets
from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

for name in ("cat", "dog"):
    for year in ("2023", "2024"):
        Path("images/train", name, year).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(Path("images/train", name, year, "0.png"))
datasets.disable_progress_bars()
by_torchvision = ImageFolder("images/train").classes
by_timm = list(create_dataset("", root="images/train").reader.class_to_idx)
by_datasets = datasets.load_dataset("imagefolder", data_dir="images")["train"].features["label"].names
print("torchvision ", by_torchvision)
print("timm        ", by_timm)
print("datasets    ", by_datasets)
assert by_torchvision == ["cat", "dog"]
assert by_timm == by_datasets == ["2023", "2024"]
PYTHON

#!/usr/bin/env bash
# Hugging Face datasets: one image in a subfolder, and the label column of all images is gone.
#
# Seen with datasets 5.2.0 (Python 3.11). load_dataset("imagefolder") infers labels only if all
# images lie equally deep. One file more in train/ant/extra/ and the dataset loads without a label
# column and without a warning. The images themselves are all there:
#   equally deep     ['image', 'label'] 4 images
#   one image deeper ['image'] 5 images
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datasets==5.2.0 pillow==12.0.0
cd "$folder" && HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 venv/bin/python -W error::UserWarning - <<'PYTHON'
from pathlib import Path

import datasets
from PIL import Image


def columns() -> tuple[list[str], int]:
    images = datasets.load_dataset("imagefolder", data_dir="images")["train"]
    return list(images.features), images.num_rows


for path in ("ant/0", "ant/1", "bee/0", "bee/1"):
    Path("images/train", path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(Path("images/train", path + ".png"))
datasets.disable_progress_bars()
before = columns()
Path("images/train/ant/extra").mkdir()
Image.new("RGB", (8, 8)).save("images/train/ant/extra/2.png")
after = columns()
print("equally deep    ", before[0], before[1], "images")
print("one image deeper", after[0], after[1], "images")
assert before == (["image", "label"], 4)
assert after == (["image"], 5)
PYTHON

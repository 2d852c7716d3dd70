#!/usr/bin/env bash
# timm: an image that cannot be read is "skipped", and yet counted: as the next image, with its label.
#
# Seen with timm 1.0.31 (torch 2.9.1, Python 3.11) on a validation folder of 3 cats and 3 dogs, in
# which the last cat is a file that was cut off by a full disk. A classifier that answers "cat" for
# everything has 3 of 6 right, or 2 of the 5 that can be read. timm's dataset has 6 samples, the cut
# cat is a second copy of the first dog, and the log says "Skipped sample":
#   labels of the files     [0, 0, 0, 1, 1, 1]
#   labels that timm gives  [0, 0, 1, 1, 1, 1]
#   accuracy of "cat"       0.33 (it is 0.50, or 0.40 without the damaged file)
# torchvision's ImageFolder ends with the name of the fault.
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q timm==1.0.31 torchvision==0.24.1 torch==2.9.1
cd "$folder" && venv/bin/python - <<'PYTHON'
from pathlib import Path

import numpy as np
from PIL import Image
from timm.data import create_dataset

pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
for number, image in enumerate(pixels):
    path = Path("val", "cat" if number < 3 else "dog", f"{number}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
cut = Path("val/cat/2.png")
cut.write_bytes(cut.read_bytes()[:1000])

dataset = create_dataset("", root="val")
files = [label for _, label in dataset.reader.samples]
samples = [dataset[index] for index in range(len(dataset))]
labels = [label for _, label in samples]
print("labels of the files    ", files)
print("labels that timm gives ", labels)
print(f'accuracy of "cat"       {labels.count(0) / len(labels):.2f}')
assert files == [0, 0, 0, 1, 1, 1]
assert labels == [0, 0, 1, 1, 1, 1]
assert np.array_equal(samples[2][0], samples[3][0])  # the first dog, twice
PYTHON

#!/usr/bin/env bash
# FLOPs of one network: fvcore's count is half of torch's, under the same name.
#
# Seen with fvcore 0.1.5.post20221221 and torch 2.9.1 (torchvision 0.24.1, Python 3.11), ResNet50,
# one image of 224 x 224. torch.utils.flop_counter counts a multiply-add as two operations, as the
# peaks of vendors do. fvcore counts it as one and calls that a flop, so a utilisation made of its
# count and a vendor's peak is half the true one:
#   torch   8.18 GFLOPs
#   fvcore  4.11 GFLOPs
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q fvcore==0.1.5.post20221221 torchvision==0.24.1 torch==2.9.1
cd "$folder" && venv/bin/python - <<'PYTHON'
import torch
from fvcore.nn import FlopCountAnalysis
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

network, image = resnet50().eval(), torch.zeros(1, 3, 224, 224)
with FlopCounterMode(display=False) as counter, torch.no_grad():
    network(image)
by_torch = counter.get_total_flops() / 1e9
by_fvcore = FlopCountAnalysis(network, image).unsupported_ops_warnings(False).total() / 1e9
print(f"torch   {by_torch:.2f} GFLOPs")
print(f"fvcore  {by_fvcore:.2f} GFLOPs")
assert (round(by_torch, 2), round(by_fvcore, 2)) == (8.18, 4.11)
PYTHON

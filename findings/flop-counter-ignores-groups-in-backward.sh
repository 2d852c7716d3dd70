#!/usr/bin/env bash
# torch's FlopCounterMode counts a depthwise convolution's backward pass too often.
#
# Seen with torch 2.9.1 and torchvision 0.24.1 (Python 3.11), and with torch 2.15.0. Its formula for
# the gradient of a convolution's weights ignores the groups: it counts `groups` times too many.
# Both gradients of a convolution take as many operations as its forward pass, so a training step
# needs about three times the forward pass. The counter says, as multiples of the forward pass:
#   resnet50            3.0
#   resnext50_32x4d     4.7
#   mobilenet_v3_small  34.5
#   efficientnet_b0     41.7
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchvision==0.24.1 torch==2.9.1 numpy
cd "$folder" && venv/bin/python - <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model

for name, expected in (
    ("resnet50", "3.0"),
    ("resnext50_32x4d", "4.7"),
    ("mobilenet_v3_small", "34.5"),
    ("efficientnet_b0", "41.7"),
):
    with torch.device("meta"):
        network, images = get_model(name), torch.empty(2, 3, 224, 224)
    with FlopCounterMode(display=False) as forward:
        output = network(images)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    total = forward.get_total_flops() + backward.get_total_flops()
    print(f"{name:18}  {total / forward.get_total_flops():.1f}")
    assert f"{total / forward.get_total_flops():.1f}" == expected
PYTHON

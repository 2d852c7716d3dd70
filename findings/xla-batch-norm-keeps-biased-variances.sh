#!/usr/bin/env bash
# torch_xla: batch norm's running_var is of the biased variance, so a model evaluates otherwise on XLA.
#
# Seen with torch_xla 2.9.0 and torch 2.9.1 on XLA's CPU backend (Python 3.11). nn.BatchNorm2d keeps
# the unbiased variance, n / (n - 1) times that of the batch. On an XLA device it keeps the biased one,
# without a warning. Training losses are equal; evaluation differs, the more the smaller the last
# feature maps and batches are. One step on 2 x 1 x 2 x 2 numbers (n = 8), momentum 1:
#   unbiased 6.0000, biased 5.2500
#   cpu      6.0000
#   xla      5.2500
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch_xla==2.9.0 torch==2.9.1 numpy
cd "$folder" && PJRT_DEVICE=CPU venv/bin/python - <<'PYTHON'
import torch
import torch_xla

images = torch.arange(8.0).view(2, 1, 2, 2)
unbiased, biased = images.var(), images.var(correction=0)
print(f"unbiased {unbiased:.4f}, biased {biased:.4f}")
kept = []
for device in (torch.device("cpu"), torch_xla.device()):
    layer = torch.nn.BatchNorm2d(1, momentum=1.0).to(device)
    layer(images.to(device))
    kept.append(layer.running_var.cpu()[0])
    print(f"{device.type:8} {kept[-1]:.4f}")
torch.testing.assert_close(kept, [unbiased, biased])
PYTHON

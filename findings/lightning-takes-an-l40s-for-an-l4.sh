#!/usr/bin/env bash
# Lightning: the peak FLOP/s of an L40S or L40 is that of an L4, and a laptop's RTX 4090 has the
# desktop's. Utilisation (MFU) computed with it is three times too high, without a warning.
#
# Seen with pytorch-lightning 2.6.6 (torch 2.9.1, Python 3.11). get_available_flops, which
# ThroughputMonitor divides by, searches the device's name for pieces. "l4" is a piece of "L40S", and
# "a40" of "RTX A4000". Lightning's bfloat16 peak, and that of NVIDIA's data sheets (dense matrices):
#   NVIDIA L4                           121.0   121.0 TFLOP/s
#   NVIDIA L40                          121.0   181.1
#   NVIDIA L40S                         121.0   362.1
#   NVIDIA RTX A4000                     37.4    76.7
#   NVIDIA A40                           37.4   149.7
#   NVIDIA H100 NVL                    1978.8   835.5
#   NVIDIA GeForce RTX 4090              82.6   165.2
#   NVIDIA GeForce RTX 4090 Laptop GPU   82.6    less: 9,728 cores instead of 16,384
# No GPU is needed here: the script replaces torch's function that returns the device's name.
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pytorch-lightning==2.6.6 torch==2.9.1
cd "$folder" && venv/bin/python - <<'PYTHON'
import torch
from lightning_fabric.utilities.throughput import get_available_flops

peaks = {}
for name in (
    "NVIDIA L4", "NVIDIA L40", "NVIDIA L40S", "NVIDIA RTX A4000", "NVIDIA A40", "NVIDIA H100 NVL",
    "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090 Laptop GPU",
):
    torch.cuda.get_device_name = lambda device=None, name=name: name
    peaks[name] = get_available_flops(torch.device("cuda"), torch.bfloat16) / 1e12
    print(f"{name:34} {peaks[name]:7.1f}")
assert peaks["NVIDIA L40S"] == peaks["NVIDIA L40"] == peaks["NVIDIA L4"] == 121
assert peaks["NVIDIA RTX A4000"] == peaks["NVIDIA A40"]
assert peaks["NVIDIA GeForce RTX 4090 Laptop GPU"] == peaks["NVIDIA GeForce RTX 4090"]
PYTHON

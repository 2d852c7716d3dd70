#!/usr/bin/env bash
# After one smaller batch, torch.compile computes other gradients for the batches before it.
#
# Seen with torch 2.9.1 and numpy 2.4.6 (Python 3.11, g++ 12) on a CPU, with deterministic algorithms
# and two threads. The second batch size makes a graph for all sizes, which from then on also takes
# the first one, and sums as one thread would. So an epoch's last batch changes the bits of the next
# epoch, and a training that is resumed there ends with other weights than an uninterrupted one. With
# dynamic=False it does not.
#   automatic:     32 images aa, 17 images bb, 32 images cc
#   dynamic=False: 32 images aa, 17 images bb, 32 images aa
# (aa, bb, cc: three different gradients, from equal weights and equal images.)
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.9.1 numpy==2.4.6 setuptools==80.9.0
cd "$folder" && TORCHINDUCTOR_CACHE_DIR="$folder/cache" venv/bin/python 2> log - <<'PYTHON' || { cat log; exit 1; }
import hashlib

import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 16, 3, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 2)

    def forward(self, images):
        return self.head(self.norm(self.convolution(images)).relu().mean((2, 3)))


def gradients(network, images):
    network.load_state_dict(Network().state_dict())
    network.zero_grad()
    network(images).square().sum().backward()
    tensors = [parameter.grad.numpy().tobytes() for parameter in network.parameters()]
    return hashlib.sha256(b"".join(tensors)).hexdigest()[:6]


torch.use_deterministic_algorithms(True)
torch.set_num_threads(2)
torch.manual_seed(1)
batches = [torch.randn(size, 3, 32, 32) for size in (32, 17)]
for name, dynamic in {"automatic": None, "dynamic=False": False}.items():
    torch._dynamo.reset()
    network = Network()
    network.compile(dynamic=dynamic)
    first, smaller, again = (gradients(network, batches[index]) for index in (0, 1, 0))
    print(f"{name}: 32 images {first}, 17 images {smaller}, 32 images {again}")
    assert smaller != first
    assert (again == first) == (dynamic is False)
PYTHON

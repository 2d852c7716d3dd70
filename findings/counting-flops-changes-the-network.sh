#!/usr/bin/env bash
# Four of five FLOP counters leave another network than they were given, each in its own way.
#
# Seen with thop 0.1.1.post2209072238, ptflops 0.7.5, fvcore 0.1.5.post20221221, torchprofile 0.1.0,
# torchinfo 1.8.0, torch 2.9.1 and torchvision 0.24.1 (Python 3.11), on a new ResNet18 in training
# mode. A checkpoint saved after thop cannot be loaded into a ResNet18. After ptflops, training goes
# on with batch norm in evaluation mode. fvcore and torchprofile move the running statistics.
#   thop          18 tensors added to state_dict, 0 changed, training
#   ptflops       0 tensors added to state_dict, 0 changed, evaluation
#   fvcore        0 tensors added to state_dict, 60 changed, training
#   torchprofile  0 tensors added to state_dict, 60 changed, training
#   torchinfo     0 tensors added to state_dict, 0 changed, training
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q thop==0.1.1.post2209072238 ptflops==0.7.5 \
  fvcore==0.1.5.post20221221 torchprofile==0.1.0 torchinfo==1.8.0 torch==2.9.1 torchvision==0.24.1 \
  numpy setuptools==80.9.0
cd "$folder" && venv/bin/python 2> log - <<'PYTHON' || { cat log; exit 1; }
import thop
import torch
from fvcore.nn import FlopCountAnalysis
from ptflops import get_model_complexity_info
from torchinfo import summary
from torchprofile import profile_macs
from torchvision.models import resnet18

images = torch.ones(2, 3, 64, 64)
counters = {
    "thop": lambda network: thop.profile(network, (images,), verbose=False),
    "ptflops": lambda network: get_model_complexity_info(
        network, (3, 64, 64), print_per_layer_stat=False, verbose=False
    ),
    "fvcore": lambda network: FlopCountAnalysis(network, images).total(),
    "torchprofile": lambda network: profile_macs(network, images),
    "torchinfo": lambda network: summary(network, input_data=images, verbose=0),
}
seen = {}
for name, count in counters.items():
    network = resnet18()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    count(network)
    after = network.state_dict()
    changed = sum(not torch.equal(tensor, after[key]) for key, tensor in before.items())
    mode = "training" if network.training else "evaluation"
    seen[name] = (len(after) - len(before), changed, mode)
    print(f"{name:13} {seen[name][0]} tensors added to state_dict, {changed} changed, {mode}")
assert seen == {
    "thop": (18, 0, "training"),
    "ptflops": (0, 0, "evaluation"),
    "fvcore": (0, 60, "training"),
    "torchprofile": (0, 60, "training"),
    "torchinfo": (0, 0, "training"),
}
PYTHON

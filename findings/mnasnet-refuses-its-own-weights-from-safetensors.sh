#!/usr/bin/env bash
# torchvision's MNASNet refuses its own weights from safetensors, or from a plain dict.
#
# Seen with torchvision 0.24.1, torch 2.9.1 and safetensors 0.8.0 (Python 3.11). MNASNet reads a
# version from the `_metadata` attribute of the state_dict, which only an OrderedDict of torch has.
# The names and shapes are complete, and every other classifier of torchvision loads such a dict:
#   mobilenet_v2  loaded
#   mnasnet0_5    ValueError: version shluld be set to 1 or 2 instead of None
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 torchvision==0.24.1 torch==2.9.1 numpy
cd "$folder" && venv/bin/python - <<'PYTHON'
from safetensors.torch import load, save
from torchvision.models import get_model

for name, expected in (
    ("mobilenet_v2", "loaded"),
    ("mnasnet0_5", "ValueError: version shluld be set to 1 or 2 instead of None"),
):
    network, outcome = get_model(name), "loaded"
    try:
        get_model(name).load_state_dict(load(save(network.state_dict())))
    except ValueError as error:
        outcome = f"ValueError: {error}"
    print(f"{name:12}  {outcome}")
    assert outcome == expected
PYTHON

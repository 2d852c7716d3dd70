#!/usr/bin/env bash
# torch 2.14 and 2.15: torch.load(path) decides by the suffix, torch.load(open(path, "rb")) by the
# content. So the same bytes load in one of the two ways, and not in the other.
#
# Seen with torch 2.14.0 and 2.15.0, safetensors 0.6.2 (Python 3.11). Up to torch 2.13, both ways read
# the content. A checkpoint that torch.save wrote under the name w.safetensors can be loaded by all
# older releases. The new ones refuse its path with safetensors' error, and load the opened file. A
# file of safetensors loads by its path, as long as nobody renames it.
#   torch.save, w.safetensors:         path SafetensorError, opened file equal
#   torch.save, w.pt:                  path equal, opened file equal
#   safetensors, w.safetensors:        path equal, opened file UnpicklingError
#   safetensors, renamed to w.pt:      path UnpicklingError, opened file UnpicklingError
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.0 safetensors==0.6.2 numpy==2.3.5 packaging==25.0
cd "$folder" && venv/bin/python - <<'PYTHON'
import pickle

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

state = {"weight": torch.arange(6.0).reshape(2, 3)}


def load(source: object) -> str:
    try:
        loaded = torch.load(source, weights_only=True)
    except (SafetensorError, pickle.UnpicklingError) as error:
        return type(error).__name__
    return "equal" if torch.equal(loaded["weight"], state["weight"]) else "other"


results = {}
for writer, save in {"torch.save": torch.save, "safetensors": save_file}.items():
    for name in ("w.safetensors", "w.pt"):
        save(state, name)
        with open(name, "rb") as file:
            results[writer, name] = load(name), load(file)
        print(f"{writer}, {name}: path {results[writer, name][0]}, opened file "
              f"{results[writer, name][1]}")
assert results["torch.save", "w.safetensors"] == ("SafetensorError", "equal")
assert results["torch.save", "w.pt"] == ("equal", "equal")
assert results["safetensors", "w.safetensors"] == ("equal", "UnpicklingError")
assert results["safetensors", "w.pt"] == ("UnpicklingError", "UnpicklingError")
PYTHON

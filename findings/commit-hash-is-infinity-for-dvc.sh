#!/usr/bin/env bash
# PyYAML and DVC: one short commit hash in fifty is a number for DVC, often infinity.
#
# Seen with DVC 3.67.1, PyYAML 6.0.3 (Python 3.11). yaml.safe_dump quotes a text only if YAML 1.1
# would read it as something else. 12e4567 (git rev-parse --short) is a text in 1.1 and a number in
# 1.2, which DVC reads. So dvc.lock and `dvc params diff` have inf. Two such commits are equal, and
# a stage that depends on the hash is not repeated. PyYAML itself reads the text back.
#   written   {'commit': '12e4567'}
#   PyYAML    {'commit': '12e4567'}
#   DVC       {'commit': inf}
#   DVC       {'commit': inf} after a change to 98e7654
#   2.1% of random short hashes are numbers, 0.8% infinity
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dvc==3.67.1 pyyaml==6.0.3
cd "$folder" && venv/bin/dvc init -q --no-scm && venv/bin/python - <<'PYTHON'
import math
import random
from pathlib import Path

import yaml
from dvc.api import params_show


def read_by_dvc(commit: str) -> object:
    Path("params.yaml").write_text(yaml.safe_dump({"commit": commit}))
    return params_show("params.yaml")["commit"]


first = read_by_dvc("12e4567")
print("written   {'commit': '12e4567'}")
print("PyYAML   ", yaml.safe_load(Path("params.yaml").read_text()))
print("DVC      ", {"commit": first})
second = read_by_dvc("98e7654")
print("DVC      ", {"commit": second}, "after a change to 98e7654")
assert yaml.safe_load(Path("params.yaml").read_text()) == {"commit": "98e7654"}
assert first == second == math.inf

draw = random.Random(0)
hashes = ["".join(draw.choices("0123456789abcdef", k=7)) for _ in range(2000)]
Path("params.yaml").write_text(yaml.safe_dump(dict(enumerate(hashes))))
numbers = [value for value in params_show("params.yaml").values() if not isinstance(value, str)]
infinite = sum(map(math.isinf, numbers))
shares = [f"{count / len(hashes):.1%}" for count in (len(numbers), infinite)]
print(f"{shares[0]} of random short hashes are numbers, {shares[1]} infinity")
assert 0.01 < len(numbers) / len(hashes) < 0.03
PYTHON

#!/usr/bin/env bash
# One command line, two numbers: jsonargparse reads 010 as 8 for an int, and as 10 without a type.
#
# Seen with jsonargparse 4.42.0 and PyYAML 6.0.3 (Python 3.11), so in LightningCLI too. Values of
# typed options are YAML 1.1: digits after a 0 are octal, and digits around a colon have base 60.
# Nothing warns, so a seed written as 010 is 8, and a time of day is accepted as a number:
#   --option=010      int 8      float 8.0      Any 10
#   --option=12:30    int 750    float 750.0    Any 750
# DVC reads the same texts in params.yaml as YAML 1.2: 10, and the text 12:30.
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jsonargparse==4.42.0 pyyaml==6.0.3
cd "$folder" && venv/bin/python - <<'PYTHON'
from typing import Any

from jsonargparse import ArgumentParser


def read(kind: Any, text: str) -> Any:
    parser = ArgumentParser()
    parser.add_argument("--option", type=kind)
    return parser.parse_args([f"--option={text}"]).option


values = {text: [read(kind, text) for kind in (int, float, Any)] for text in ("010", "12:30")}
for text, numbers in values.items():
    print(f"--option={text}", *numbers)
assert values == {"010": [8, 8.0, 10], "12:30": [750, 750.0, 750]}
PYTHON

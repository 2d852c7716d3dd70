#!/usr/bin/env bash
# WebDataset: shuffle() gives another order in each process, whatever is seeded.
#
# Seen with webdataset 1.0.2 (Python 3.11). The filter makes a generator of its own from the process
# id and the clock, so random.seed, numpy.random.seed, torch.manual_seed and Lightning's
# seed_everything change nothing. Only a generator that is handed over, or detshuffle, repeats:
#   shuffle(100), random.seed(7), twice        different
#   shuffle(100, rng=random.Random(7)), twice  equal
#   detshuffle(100, seed=7), twice             equal
set -eu
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q webdataset==1.0.2
cd "$folder" && venv/bin/python - <<'PYTHON'
import random

import numpy
import webdataset
from webdataset import filters


def order(make_filter) -> list[int]:
    random.seed(7)
    numpy.random.seed(7)
    return list(make_filter()(iter(range(100))))


filters_by_name = {
    "shuffle(100), random.seed(7), twice      ": lambda: filters.shuffle(100),
    "shuffle(100, rng=random.Random(7)), twice": lambda: filters.shuffle(100, rng=random.Random(7)),
    "detshuffle(100, seed=7), twice           ": lambda: webdataset.detshuffle(100, seed=7).run,
}
repeats = {name: order(make) == order(make) for name, make in filters_by_name.items()}
for name, equal in repeats.items():
    print(name, "equal" if equal else "different")
assert list(repeats.values()) == [False, True, True]
PYTHON

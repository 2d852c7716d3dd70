"""`python -m tests.training.xla_process DIRECTORY...`: trainings on XLA's CPU backend, one by one.

Each directory is a workspace. The first one also gets `waits.json`, seconds for which a result is
waited for, after `synchronise` and without it; `batch_norm.json`, a layer's statistics; and
`masks.json`, dropout's masks of three seeds, the last of which is the first.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.common.parameters import ONE_DEVICE, load_parameters
from benchmark.machine import accelerators
from benchmark.pipeline import train
from benchmark.training.fit import norm_layer
from tests.support.small import replace_networks


def measure_waits(name: str, side: int) -> list[float]:
    """Return how long the result of a chain of products takes, with and without `synchronise`.

    `side` is the number of rows and columns of the matrices.
    """
    start = torch.rand(side, side, device=accelerators.device(name))

    def chain() -> Tensor:
        x = start + 1
        for _ in range(30):
            x = x @ x / (side / 2)
        return x

    chain()[0, 0].item()  # compiles
    waits = []
    for first in (accelerators.synchronise, lambda _: None):
        last = chain()
        first(name)
        before = time.perf_counter()
        last[0, 0].item()
        waits.append(time.perf_counter() - before)
    return waits


def batch_norm(layer: nn.BatchNorm2d) -> dict[str, list[Any]]:
    """Train a layer of 3 channels on batches of 4 values each; return its outputs and statistics.

    The last output is of evaluation.
    """
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(4, 2, 3, 2, 1, generator=generator) * 3 + 7
    batches = batches.to(layer.weight.device)
    outputs = [*map(layer, batches[:3]), layer.eval()(batches[3])]
    state = {name: value.tolist() for name, value in layer.state_dict().items()}
    return state | {"outputs": torch.stack(outputs).tolist()}


def masks(*seeds: int) -> list[list[float]]:
    """Return a mask of dropout for each seed."""
    ones, drawn = torch.ones(64, device=accelerators.device("xla")), []
    for seed in seeds:
        accelerators.seed_generators("xla", seed)
        drawn.append(nn.functional.dropout(ones).tolist())
    return drawn


if __name__ == "__main__":
    replace_networks()
    accelerators.prepare("xla")
    Path(sys.argv[1], "waits.json").write_text(json.dumps(measure_waits("xla", 700)))
    layer = norm_layer("xla", ONE_DEVICE)(3).to(accelerators.device("xla"))
    Path(sys.argv[1], "batch_norm.json").write_text(json.dumps(batch_norm(layer)))
    Path(sys.argv[1], "masks.json").write_text(json.dumps(masks(1, 2, 1)))
    for directory in sys.argv[1:]:
        os.chdir(directory)
        train.run(accelerators.find("xla"), load_parameters())

"""What Lightning's loop costs by itself: a fit of a model that computes next to nothing.

In a real step it drowns in the noise; here it is all there is.
"""

import time
from itertools import pairwise
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmark.common.parameters import Precision
from benchmark.machine import accelerators
from benchmark.throughput.schema import Overhead
from benchmark.timing.trainer import bare_trainer

EPOCHS, STEPS = 6, 30


class EmptyModel(pl.LightningModule):
    """One weight; its loss is the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """The weight, a scalar."""
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One that has the least to do."""
        return torch.optim.SGD(self.parameters(), lr=1.0)


class StepTimes(pl.Callback):
    """The clock at the end of each step."""

    def __init__(self) -> None:
        self.epochs: list[list[float]] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        """Begin a list."""
        self.epochs.append([])

    def on_train_batch_end(self, *_: Any) -> None:
        """Add to it."""
        self.epochs[-1].append(time.perf_counter())


def measure(accelerator: str, precision: Precision) -> Overhead:
    """Seconds of the host that Lightning adds to each step and to each change of epochs (without
    validation and checkpoints). The first two epochs, in which things are compiled, do not count.
    """
    model, marks = EmptyModel(), StepTimes()
    batches = DataLoader(torch.zeros(STEPS, 1), batch_size=None)  # type: ignore[arg-type,var-annotated]
    trainer = bare_trainer(accelerator, precision, marks, deterministic=True, max_epochs=EPOCHS)
    trainer.fit(model, batches)
    warm = marks.epochs[2:]
    step = median(b - a for epoch in warm for a, b in pairwise(epoch))
    change = median(after[0] - before[-1] for before, after in pairwise(warm))
    plain = _plain(accelerator, model.to(accelerators.device(accelerator)), batches)
    return Overhead(
        seconds_per_step=max(0.0, step - plain), seconds_per_epoch=max(0.0, change - step)
    )


def _plain(accelerator: str, model: EmptyModel, batches: DataLoader[Tensor]) -> float:
    """Seconds of a step of the same work in a plain loop."""
    optimizer, device = model.configure_optimizers(), accelerators.device(accelerator)
    for _ in range(2):  # the first epoch warms up
        marks = []
        for batch in batches:
            optimizer.zero_grad()
            model.training_step(batch.to(device), 0).backward()
            optimizer.step()
            accelerators.dispatch(accelerator)
            marks.append(time.perf_counter())
    return median(b - a for a, b in pairwise(marks))

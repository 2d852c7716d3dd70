"""LightningModules that each break a rule."""

import os
from typing import Any

import torch
from pytorch_lightning import seed_everything
from torch import Tensor

from tests.conformance.modules.conforming import Classifier


class InitialisedByProcess(Classifier):
    """Its weights depend on the process."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.network[2].weight += os.getpid() / 1e6


class NoiseOfTheSystem(Classifier):
    """Its steps draw from the operating system."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        noise = int.from_bytes(os.urandom(4), "little") / 2**32
        return super().training_step([batch[0] + noise, batch[1]], batch_idx)


class SeedsItself(Classifier):
    """Its weights ignore the seed."""

    def __init__(self) -> None:
        seed_everything(7, verbose=False)
        super().__init__()


class StepFails(Classifier):
    """Its training step raises."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise ValueError("no such label")

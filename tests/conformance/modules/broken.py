"""LightningModules that each break a rule."""

import os
from typing import Any

import torch
from pytorch_lightning import seed_everything
from torch import Tensor

from tests.conformance.modules.conforming import Classifier


class DecaysInValidation(Classifier):
    """Each validation halves the learning rate."""

    def on_validation_epoch_end(self) -> None:
        if self.trainer.state.fn == "fit":
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] /= 2


class DrawsForTheLogger(Classifier):
    """Draws random pictures in a training step if a logger can show them."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.logger is not None:
            torch.rand_like(batch[0])
        return super().training_step(batch, batch_idx)


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


class ScalesByWorkers(Classifier):
    """Its loss depends on the number of worker processes."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        workers = self.trainer.train_dataloader.num_workers
        return super().training_step(batch, batch_idx) / max(1, workers)


class SeedsItself(Classifier):
    """Its weights ignore the seed."""

    def __init__(self) -> None:
        seed_everything(7, verbose=False)
        super().__init__()


class ShowsHarderPictures(Classifier):
    """Its training steps change the dataset, of which each worker process has a copy."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        dataset = self.trainer.datamodule.splits["train"]
        dataset.pixels = dataset.pixels // 2


class StepFails(Classifier):
    """Its training step raises."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise ValueError("no such label")

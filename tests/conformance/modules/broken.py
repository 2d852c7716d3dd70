"""LightningModules that each break a rule."""

import os
import warnings
from pathlib import Path
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


class ForgetsItsCount(Classifier):
    """Keeps the number of its steps in an attribute, which no checkpoint contains."""

    steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.steps += 1
        return super().training_step(batch, batch_idx) / self.steps


class ForgetsItsSum(Classifier):
    """Scales the loss by a sum over the epoch so far."""

    def on_train_epoch_start(self) -> None:
        self.total = 0.0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.total += 1.0
        return super().training_step(batch, batch_idx) / self.total

    def on_load_checkpoint(self, checkpoint: Any) -> None:
        self.total = 0.0


class FreezesTooLate(Classifier):
    """Freezes a layer within an epoch: its gradients become zeros, and Adam has momentum."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.network[2].requires_grad_(batch_idx < 2)
        optimizer = self.optimizers()
        optimizer.zero_grad(set_to_none=False)
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


class ForgottenLayer(Classifier):
    """Its optimizer has one of two layers."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network[2].parameters(), 1e-3)


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


class TwiceInOneOptimizer(Classifier):
    """Its optimizer has a layer twice."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        with warnings.catch_warnings(action="ignore"):
            return torch.optim.SGD([*self.parameters(), *self.network[2].parameters()], 1e-3)


class ForgetsItsThreshold(Classifier):
    """Predicts with a number that it has learned and does not save."""

    threshold = 0.0

    def on_train_end(self) -> None:
        self.threshold = float(self.network[2].weight.abs().mean())

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().predict_step(batch, batch_idx) > self.threshold + 0.2


class NeedsItsBackbone(Classifier):
    """Takes an argument that it does not save."""

    def __init__(self, backbone: str) -> None:
        super().__init__()

    def save_hyperparameters(self, *arguments: Any, **named: Any) -> None:
        """Save nothing."""


def needs_its_backbone() -> NeedsItsBackbone:
    return NeedsItsBackbone("tiny")


class SavesAPath(Classifier):
    """Its hyperparameters contain an object."""

    def __init__(self, width: int = 8, path: Path = Path("logs")) -> None:
        super().__init__(width)
        self.save_hyperparameters()


class StepFails(Classifier):
    """Its training step raises."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise ValueError("no such label")

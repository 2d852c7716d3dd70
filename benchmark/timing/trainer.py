"""Lightning's Trainer as a mode: a fit that pauses between blocks of steps."""

from typing import Any

import pytorch_lightning as pl
import torch

from benchmark.common.parameters import ONE_DEVICE, Precision, TrainerParameters
from benchmark.timing.coroutine import Coroutine
from benchmark.training.trainer_arguments import trainer_arguments


class PausableFit(pl.Callback):
    """Mode that trains with Trainer.fit, as a coroutine that pauses after a number of steps."""

    def __init__(self, module: pl.LightningModule, data: pl.LightningDataModule) -> None:
        self._module = module
        self._data = data

    def start(self, trainer: pl.Trainer) -> None:
        """Run `trainer.fit` up to its first step. This must be the trainer's last callback."""
        self._trainer = trainer
        self._fit = Coroutine(lambda: trainer.fit(self._module, datamodule=self._data))
        self._fit.start()

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer that the Trainer steps."""
        return self._trainer.optimizers[0]

    def run(self, steps: int) -> None:
        """Run `steps` more training steps."""
        self._fit.run(steps)

    def stop(self) -> None:
        """End the fit: Lightning checks `should_stop` after each step, so another step runs."""
        self._trainer.should_stop = True
        self._fit.stop()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Pause until the first `run`."""
        self._fit.ready()

    def on_train_batch_end(self, *_: Any) -> None:
        """Count a step, and pause until the next `run` if the block is complete."""
        self._fit.stepped()


def bare_trainer(
    accelerator: str,
    precision: Precision,
    callback: pl.Callback,
    devices: TrainerParameters = ONE_DEVICE,
    **limits: Any,
) -> pl.Trainer:
    """Return the training stage's Trainer without validation, checkpoints, logger, progress bar.

    `callback` is its only callback, and `limits` are more arguments of pl.Trainer.
    """
    return pl.Trainer(
        **trainer_arguments(accelerator, precision, devices),
        **limits,
        limit_val_batches=0,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )

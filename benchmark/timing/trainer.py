"""Lightning's Trainer as a mode: a fit that pauses between blocks of steps."""

from typing import Any

import pytorch_lightning as pl
import torch

from benchmark.common.parameters import ONE_DEVICE, Precision, TrainerParameters
from benchmark.timing.coroutine import Coroutine
from benchmark.training.trainer_arguments import trainer_arguments


class PausableFit(pl.Callback):
    """Trainer.fit as a coroutine: it runs a number of steps and then waits."""

    def __init__(self, module: pl.LightningModule, data: pl.LightningDataModule) -> None:
        self._module = module
        self._data = data

    def start(self, trainer: pl.Trainer) -> None:
        """Run `trainer.fit` up to its first step. `trainer` has this as its last callback."""
        self._trainer = trainer
        self._fit = Coroutine(lambda: trainer.fit(self._module, datamodule=self._data))
        self._fit.start()

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer that the Trainer steps."""
        return self._trainer.optimizers[0]

    def run(self, steps: int) -> None:
        """Run `steps` more steps of the fit."""
        self._fit.run(steps)

    def stop(self) -> None:
        """Let the fit end regularly: its loop checks `should_stop` after each step."""
        self._trainer.should_stop = True
        self._fit.stop()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Wait for the first `run`."""
        self._fit.ready()

    def on_train_batch_end(self, *_: Any) -> None:
        """Wait for the next `run`, if this one is done."""
        self._fit.stepped()


def bare_trainer(
    accelerator: str,
    precision: Precision,
    callback: pl.Callback,
    devices: TrainerParameters = ONE_DEVICE,
    **limits: Any,
) -> pl.Trainer:
    """The training stage's Trainer without validation, checkpoints, logger and progress bar."""
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

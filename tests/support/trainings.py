"""Trainings of the small network in a workspace, with callbacks that watch or stop them."""

from typing import Any

import pytest
import pytorch_lightning as pl

from benchmark.common.parameters import Parameters
from benchmark.common.results import ResultPaths, TrainingPaths, read_result
from benchmark.machine.accelerators import find
from benchmark.pipeline import train
from benchmark.training.schema import TRAINING, Training

CPU = ResultPaths("cpu")


def trained(parameters: Parameters) -> Training:
    """Run the training stage and return its result."""
    train.run(find("cpu"), parameters)
    return read_training(CPU.own)


def read_training(results: TrainingPaths) -> Training:
    """The written result, which must be that of a training."""
    result = read_result(results.result, TRAINING)
    assert isinstance(result, Training)
    return result


def add_callback(monkeypatch: pytest.MonkeyPatch, callback: pl.Callback) -> None:
    """Give each Trainer that is made one more callback."""
    make = pl.Trainer

    def make_with_callback(**options: Any) -> pl.Trainer:
        return make(**options | {"callbacks": [*options.get("callbacks", []), callback]})

    monkeypatch.setattr(pl, "Trainer", make_with_callback)


class CountSteps(pl.Callback):
    """Counts the training steps."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_start(self, *_: Any) -> None:
        self.steps += 1


class PowerCut(pl.Callback):
    """Stops a fit after the checkpoint of an epoch: in the next one, or in none if it was the
    last."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epochs and trainer.fit_loop.batch_idx == 1:
            raise RuntimeError("power cut")

    def on_fit_end(self, *_: Any) -> None:
        raise RuntimeError("power cut")


def interrupt(monkeypatch: pytest.MonkeyPatch, parameters: Parameters, epochs: int) -> None:
    """Train up to a power cut after some epochs, or after the last one."""
    with monkeypatch.context() as patch:
        add_callback(patch, PowerCut(epochs))
        with pytest.raises(RuntimeError, match="power cut"):
            train.run(find("cpu"), parameters)


class Ruin(pl.Callback):
    """Makes steps from an epoch (from 0) on so large that nothing learned remains."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.optimizers[0].param_groups[0]["lr"] = 10.0

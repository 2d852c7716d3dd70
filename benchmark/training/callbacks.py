"""Callbacks that change what a fit does: Lightning's, made to survive a resume, and two more."""

import gc
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BackboneFinetuning, Callback, EarlyStopping
from pytorch_lightning.strategies import DDPStrategy

from benchmark.machine import accelerators
from benchmark.training.model import FineTuner


class ResumableBackboneFinetuning(BackboneFinetuning):
    """Lightning's gradual unfreezing at a fixed rate. Until then batch norm is frozen whole
    (Lightning would train its weights, and normalise by the batch), and a run that is resumed
    after unfreezing stays unfrozen (Lightning's would freeze again).
    """

    def __init__(self, epoch: int, learning_rate: float) -> None:
        super().__init__(
            epoch, lambda _: 1.0, backbone_initial_lr=learning_rate, should_align=False
        )
        self._reduced = False

    def freeze_before_training(self, module: pl.LightningModule) -> None:
        """Freeze the whole backbone."""
        assert isinstance(module, FineTuner)
        self.freeze(module.backbone.eval(), train_bn=False)

    def finetune_function(
        self, module: pl.LightningModule, epoch: int, optimizer: torch.optim.Optimizer
    ) -> None:
        """At the start of `epoch`: unfreeze, if it is time."""
        assert isinstance(module, FineTuner)
        super().finetune_function(module, epoch, optimizer)
        if epoch >= self.unfreeze_backbone_at_epoch:
            self.make_trainable(module.backbone.train())
            if not self._reduced:
                _reduce_all_gradients(module.trainer.strategy)
                self._reduced = True


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that counts from epoch `start` and that stays stopped: Lightning's forgets
    its verdict in a resumed run."""

    def __init__(self, patience: int, start: int) -> None:
        super().__init__("val/loss", patience=patience, check_on_train_epoch_end=True)
        self._start = start

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Do not count epochs in which the backbone is still frozen."""
        if trainer.current_epoch >= self._start:
            super().on_train_epoch_end(trainer, module)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Do not begin an epoch that the interrupted run would not have begun."""
        trainer.should_stop = self.wait_count >= self.patience


class XLAGraphs(Callback):
    """Ends the XLA graph at each evaluation batch: Lightning does so for training steps only,
    and all of a validation would pile up in the next step's graph."""

    def __init__(self, accelerator: str) -> None:
        self._accelerator = accelerator

    def on_validation_batch_end(self, *_: Any) -> None:
        """Execute what has been traced."""
        accelerators.dispatch(self._accelerator)

    def on_test_batch_end(self, *_: Any) -> None:
        """Execute what has been traced."""
        accelerators.dispatch(self._accelerator)


def _reduce_all_gradients(strategy: Any) -> None:
    """DistributedDataParallel reduces what could be trained when it wrapped the model: once more,
    when the wrapper before it and its hooks are gone."""
    if isinstance(strategy, DDPStrategy):
        strategy.model = strategy.lightning_module
        gc.collect()
        strategy.configure_ddp()


class StopAfterSteps(Callback):
    """Ends a fit after `steps` optimizer steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Ask the Trainer to stop, once it is time."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self._steps

"""Callbacks that change a fit: two of Lightning's that survive a resume here, and more."""

import gc
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BackboneFinetuning, Callback, EarlyStopping
from pytorch_lightning.strategies import DDPStrategy

from benchmark.data.randomness import step_seed
from benchmark.machine import accelerators
from benchmark.training.model import FineTuner


class ResumableBackboneFinetuning(BackboneFinetuning):
    """Unfreezes the backbone at `epoch`, with a fixed learning rate; the fit can be resumed.

    Lightning's BackboneFinetuning trains batch norm's weights before that epoch and normalises by
    the batch; this one freezes both. On a resume after that epoch Lightning's would freeze the
    backbone again.
    """

    def __init__(self, epoch: int, learning_rate: float) -> None:
        super().__init__(
            epoch, lambda _: 1.0, backbone_initial_lr=learning_rate, should_align=False
        )
        self._wrapped_again = False

    def freeze_before_training(self, module: pl.LightningModule) -> None:
        """Freeze the complete backbone, batch norm included."""
        assert isinstance(module, FineTuner)
        self.freeze(module.backbone.eval(), train_bn=False)

    def finetune_function(
        self, module: pl.LightningModule, epoch: int, optimizer: torch.optim.Optimizer
    ) -> None:
        """Unfreeze the backbone from its epoch on, also after a resume.

        Lightning calls this at the start of every epoch.
        """
        assert isinstance(module, FineTuner)
        super().finetune_function(module, epoch, optimizer)
        if epoch >= self.unfreeze_backbone_at_epoch:
            self.make_trainable(module.backbone.train())
            strategy: Any = module.trainer.strategy
            if isinstance(strategy, DDPStrategy) and not self._wrapped_again:
                # DistributedDataParallel reduces the gradients of what was trainable when it
                # wrapped the model. The old wrapper and its hooks must be gone before the new one.
                strategy.model = strategy.lightning_module
                gc.collect()
                strategy.configure_ddp()
                self._wrapped_again = True


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that counts from epoch `start` (from 0) and stays stopped after a resume."""

    def __init__(self, patience: int, start: int) -> None:
        super().__init__("val/loss", patience=patience, check_on_train_epoch_end=True)
        self._start = start

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Ignore the epochs in which the backbone is still frozen."""
        if trainer.current_epoch >= self._start:
            super().on_train_epoch_end(trainer, module)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop at once if the interrupted run had run out of patience."""
        trainer.should_stop = self.wait_count >= self.patience


class XLAGraphs(Callback):
    """Ends the XLA graph after each evaluation batch.

    Lightning does so after training steps only: XLA would trace a complete validation into the
    graph of the next training step.
    """

    def __init__(self, accelerator: str) -> None:
        self._accelerator = accelerator

    def on_validation_batch_end(self, *_: Any) -> None:
        """Execute the traced graph."""
        accelerators.end_xla_graph(self._accelerator)

    def on_test_batch_end(self, *_: Any) -> None:
        """Execute the traced graph."""
        accelerators.end_xla_graph(self._accelerator)


class SeedMasks(Callback):
    """Seeds torch's generators before each training step, by (seed, step, rank).

    So dropout and stochastic depth draw the same masks after a resume and in a replay. Another kind
    of device, or another number of ranks, draws other masks.
    """

    def __init__(self, accelerator: str, seed: int) -> None:
        self._accelerator = accelerator
        self._seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Seed the generators of the host and the device for the next step."""
        number = step_seed(self._seed, trainer.global_step, trainer.global_rank)
        accelerators.seed_generators(self._accelerator, number)


class StopAfterSteps(Callback):
    """Ends a fit after `steps` optimizer steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Ask the Trainer to stop after the last of the steps."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self._steps

"""One seeded, resumable Lightning fit, and a test of its best epoch."""

import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn

from benchmark.common import digests
from benchmark.common.parameters import LoggerName, Parameters, TrainerParameters
from benchmark.data.datamodule import ImageDataModule
from benchmark.distributed import process_group
from benchmark.errors.training_errors import explain_training_errors
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.training import loggers
from benchmark.training.batch_norm import HostSyncBatchNorm2d
from benchmark.training.callbacks import (
    ResumableBackboneFinetuning,
    ResumableEarlyStopping,
    XLAGraphs,
)
from benchmark.training.checkpoint_dir import SealedCheckpoints, is_whole
from benchmark.training.features import FeatureDataModule
from benchmark.training.history import (
    DIVERGED,
    EpochPrinter,
    EpochTimer,
    FirstStepsDigest,
    History,
    Predictions,
)
from benchmark.training.model import FineTuner
from benchmark.training.trainer_arguments import trainer_arguments


class Fit:
    """One fit, and a test of its best epoch, on an accelerator that is here; without a directory
    for checkpoints the fit alone."""

    best: ModelCheckpoint
    """Of the epoch with the lowest validation loss."""
    last: Path
    """The checkpoint of the last whole epoch."""

    def __init__(
        self,
        accelerator: Accelerator,
        parameters: Parameters,
        scratch: Path | None,
        *extras: Callback,
        title: str = "",
        logger: LoggerName = "none",
    ) -> None:
        silence_lightning()
        # For what draws from torch's global generator; neither ResNet50 nor the DataModule does.
        pl.seed_everything(parameters.seed, verbose=False)
        self.accelerator = accelerator
        self.title = title or accelerator.label
        self.parameters = parameters
        self.data = data_module(parameters)
        self.model = fine_tuner(
            parameters, len(self.data.classes), norm_layer(accelerator.name, parameters.trainer)
        )
        self.initial = digests.of_state(self.model.network.state_dict())
        self.features_seconds = 0.0
        self.history, self.first_steps = History(), FirstStepsDigest(accelerator.name)
        self.predictions = Predictions()
        self.epoch_timer = EpochTimer(accelerator.name, self.first_steps)
        self._sealed = SealedCheckpoints()
        self._logger = loggers.logger(logger, self.title)
        checkpoints = self._checkpoints(scratch) if scratch else []
        self.trainer = self._trainer(checkpoints, extras)

    def fit_and_test(self) -> "Fit":
        """Fit, from the last whole epoch if the run was interrupted, then test.

        Raises:
            UserError: a loss is no finite number, or as `fit`.
        """
        if self.model.origin:
            self._say(self.model.origin)
        self.fit(str(self.last) if self._resumes() else None)
        if isinstance(self.data, FeatureDataModule):
            self.features_seconds = self.data.seconds
        self._restore_best()
        start = time.perf_counter()
        with explain_training_errors(
            self.title, self.parameters.data.batch_size, lambda: "in the test"
        ):
            self.test = self.trainer.test(self.model, self.data, verbose=False)[0]
        self.test_seconds = time.perf_counter() - start
        self._require_finite(self.test["test/loss"], "test")
        return self

    def fit(self, checkpoint: str | None = None) -> None:
        """Fit without a test, from a checkpoint where there is one.

        Raises:
            UserError: as `explain_training_errors`.
        """
        with explain_training_errors(self.title, self.parameters.data.batch_size, self._place):
            self.trainer.fit(self.model, datamodule=self.data, ckpt_path=checkpoint)
        if process_group.get_world_size() > 1:
            learned = dict(self.model.network.named_parameters())
            weights = process_group.all_gather(digests.of_state(learned))
            assert len(set(weights)) == 1, "ranks have come to different weights"

    def _place(self) -> str:
        return f"in epoch {self.trainer.current_epoch + 1}, after {self.trainer.global_step} steps"

    def _resumes(self) -> bool:
        """Whether there is an interrupted run to continue; said, and so is what is damaged. The
        first rank's file counts: it has written it."""
        kept = list(self.last.parent.glob("*.ckpt"))
        if damaged := [path.name for path in kept if not is_whole(path)]:
            self._say(f"{' and '.join(damaged)} damaged, training anew")
        elif self.last in kept:
            self._say("resuming after an interruption")
        return process_group.broadcast(self.last in kept and not damaged)

    def _say(self, words: str) -> None:
        """Once for all ranks."""
        if self.trainer.is_global_zero:
            print(f"{self.title}: {words}", flush=True)

    def _restore_best(self) -> None:
        """The weights alone: test(ckpt_path=...) would take the recordings back too."""
        score = self.best.best_model_score
        self._require_finite(math.inf if score is None else score.item(), "validation")
        checkpoint = self._sealed.load_checkpoint(self.best.best_model_path)
        self.model.load_state_dict(checkpoint["state_dict"])

    def _require_finite(self, loss: float, split: str) -> None:
        if not math.isfinite(loss):
            raise UserError(f"{self.title}: the {split} loss is not a finite number.", DIVERGED)

    def _trainer(self, checkpoints: Sequence[Callback], extras: Sequence[Callback]) -> pl.Trainer:
        train, terminal = self.parameters.train, sys.stderr.isatty()
        recording = [self.history, self.first_steps, self.predictions, self.epoch_timer]
        stopping = ResumableEarlyStopping(train.patience, start=train.unfreeze_epoch)
        callbacks = [*recording, stopping, *checkpoints, *self._extras(terminal), *extras]
        arguments = trainer_arguments(
            self.accelerator.name, train.precision, self.parameters.trainer
        )
        return pl.Trainer(
            **arguments | {"plugins": [*arguments["plugins"], self._sealed]},
            max_epochs=train.max_epochs,
            deterministic=True,
            callbacks=callbacks,
            logger=self._logger or False,
            enable_checkpointing=bool(checkpoints),
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=terminal,
        )

    def _checkpoints(self, scratch: Path) -> list[Callback]:
        self.best = ModelCheckpoint(
            scratch, "best", monitor="val/loss", save_on_train_epoch_end=True,
            save_weights_only=True, enable_version_counter=False,
        )  # fmt: skip
        self.last = scratch / "last.ckpt"
        last = ModelCheckpoint(
            self.last.parent, self.last.stem, save_on_train_epoch_end=True,
            enable_version_counter=False,
        )  # fmt: skip
        return [self.best, last]

    def _extras(self, terminal: bool) -> list[Callback]:
        extras: list[Callback] = []
        if self._logger:
            extras.append(loggers.EpochLogger(self.history))
        if not terminal:
            extras.append(EpochPrinter(self.title, self.history))
        train = self.parameters.train
        if train.unfreeze_epoch:
            extras.append(
                ResumableBackboneFinetuning(train.unfreeze_epoch, train.backbone_learning_rate)
            )
        if self.accelerator.name in ("tpu", "xla"):
            extras.append(XLAGraphs(self.accelerator.name))
        return extras


def data_module(parameters: Parameters) -> ImageDataModule:
    """The DataModule that `parameters` describe."""
    kind = FeatureDataModule if parameters.model.freeze_backbone else ImageDataModule
    return kind(**parameters.data.model_dump(), seed=parameters.seed)


def fine_tuner(
    parameters: Parameters, classes: int, norm_layer: type[nn.BatchNorm2d] = nn.BatchNorm2d
) -> FineTuner:
    """The model that `parameters` describe, for `classes` classes."""
    train, model = parameters.train, parameters.model
    return FineTuner(classes, parameters.seed, model, train.learning_rate, train.adam, norm_layer)


def norm_layer(accelerator: str, trainer: TrainerParameters) -> type[nn.BatchNorm2d]:
    """The class of batch norm layers: HostSyncBatchNorm2d if it is synchronised on a CPU.

    On other accelerators Lightning replaces torch's BatchNorm2d by SyncBatchNorm.
    """
    synchronised = trainer.sync_batchnorm and trainer.processes > 1
    return HostSyncBatchNorm2d if synchronised and accelerator == "cpu" else nn.BatchNorm2d


def silence_lightning() -> None:
    """Silence what Lightning says to everybody: nothing of it is about this suite's runs."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # gathering bytes is fast
    warnings.filterwarnings("ignore", "GPU available but not used")  # the CPU's turn
    warnings.filterwarnings("ignore", ".*LeafSpec.. is deprecated", FutureWarning)  # torch 2.11
    warnings.filterwarnings("ignore", ".*in eval mode at the start.*")  # a frozen backbone is
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")

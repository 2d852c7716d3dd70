"""Run one seeded, resumable Lightning fit, and test its best epoch."""

import logging
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.common import tensor_digests
from benchmark.common.parameters import LoggerName, Parameters, TrainerParameters
from benchmark.common.progress import is_terminal
from benchmark.data.datamodule import ImageDataModule
from benchmark.distributed import process_group
from benchmark.errors.training_errors import explain_training_errors
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.training import loggers, networks
from benchmark.training.batch_norm import HostSyncBatchNorm2d, OwnStatistics, XLABatchNorm2d
from benchmark.training.callbacks import (
    ResumableBackboneFinetuning,
    ResumableEarlyStopping,
    SeedMasks,
    XLAGraphs,
)
from benchmark.training.checkpoint_dir import SealedCheckpoints, is_undamaged
from benchmark.training.features import FeatureDataModule
from benchmark.training.history import (
    EpochPrinter,
    EpochTimer,
    FirstStepsDigest,
    History,
    Predictions,
    RequireFinite,
    require_finite,
)
from benchmark.training.model import FineTuner
from benchmark.training.trainer_arguments import trainer_arguments


class Fit:
    """One fit on an available accelerator, and the test of its best epoch.

    Args:
        checkpoint_dir: directory of the checkpoints; None for a fit without a test.
        extras: callbacks to add.
        title: first words of each printed line; the accelerator's label if empty.
    """

    best: ModelCheckpoint
    """Callback that keeps the weights of the epoch with the lowest validation loss."""
    last: Path
    """Checkpoint of the last complete epoch."""
    test: Mapping[str, float]
    """Loss and metrics on the test split, from `fit_and_test`."""
    test_seconds: float
    """Wall time of the test."""

    def __init__(
        self,
        accelerator: Accelerator,
        parameters: Parameters,
        checkpoint_dir: Path | None,
        *extras: Callback,
        title: str = "",
        logger: LoggerName = "none",
    ) -> None:
        silence_lightning()
        # For code that draws from torch's global generator: data and initial weights do not.
        pl.seed_everything(parameters.seed, verbose=False)
        self.accelerator = accelerator
        self.title = title or accelerator.label
        self.parameters = parameters
        self.data = data_module(parameters, features=parameters.model.freeze_backbone)
        self.model = fine_tuner(
            parameters, len(self.data.classes), norm_layer(accelerator.name, parameters.trainer)
        )
        self.initial = tensor_digests.state_digest(self.model.network.state_dict())
        self.features_seconds = 0.0
        self.history, self.first_steps = History(), FirstStepsDigest(accelerator.name)
        self.predictions = Predictions()
        self.epoch_timer = EpochTimer(accelerator.name, self.first_steps)
        self._checkpoint_io = SealedCheckpoints()
        self._logger = loggers.logger(logger, self.title)
        checkpoints = self._checkpoints(checkpoint_dir) if checkpoint_dir else []
        self.trainer = self._trainer(checkpoints, extras)

    def fit_and_test(self) -> "Fit":
        """Fit, load the weights of the best epoch and test them. Returns itself.

        An interrupted run continues from its last complete epoch.

        Raises:
            UserError: a loss, a weight or a metric is not a finite number, or as `fit`.
        """
        if self.model.origin:
            self._print(self.model.origin)
        self.fit(str(self.last) if self._resumes() else None)
        if isinstance(self.data, FeatureDataModule):
            self.features_seconds = self.data.seconds
        self._restore_best()
        start, batch_size = time.perf_counter(), self.parameters.data.batch_size
        with explain_training_errors(self.title, batch_size, lambda: "in the test"):
            self.test = self.trainer.test(self.model, self.data, verbose=False)[0]
        self.test_seconds = time.perf_counter() - start
        epoch, *_ = min(self.history.epochs, key=lambda row: row[2])
        for metric, value in self.test.items():
            require_finite(f"{metric} of epoch {epoch}", value)
        return self

    def fit(self, checkpoint: str | None = None) -> None:
        """Fit without a test, from `checkpoint` if it is given. All ranks must call it.

        Raises:
            UserError: as `explain_training_errors`.
        """
        with explain_training_errors(self.title, self.parameters.data.batch_size, self._position):
            self.trainer.fit(self.model, datamodule=self.data, ckpt_path=checkpoint)
        if process_group.get_world_size() > 1:
            learned = dict(self.model.network.named_parameters())
            weights = process_group.all_gather(tensor_digests.state_digest(learned))
            assert len(set(weights)) == 1, "ranks have different weights"

    def _position(self) -> str:
        return f"in epoch {self.trainer.current_epoch + 1}, after {self.trainer.global_step} steps"

    def _resumes(self) -> bool:
        """Return whether rank 0 has intact checkpoints to resume from; print the reason.

        Rank 0 decides for all ranks, because it alone writes checkpoints.
        """
        existing = list(self.last.parent.glob("*.ckpt"))
        damaged = [path.name for path in existing if not is_undamaged(path)]
        if damaged:
            self._print(f"corrupt checkpoint {' and '.join(damaged)}: starting over")
        elif self.last in existing:
            self._print("resuming after an interruption")
        return process_group.broadcast(self.last in existing and not damaged)

    def _print(self, message: str) -> None:
        if self.trainer.is_global_zero:
            print(f"{self.title}: {message}", flush=True)

    def _restore_best(self) -> None:
        """Load the weights of the best epoch into the model.

        `Trainer.test(ckpt_path=...)` would also restore the callbacks, and lose their records.
        """
        checkpoint = self._checkpoint_io.load_checkpoint(self.best.best_model_path)
        self.model.load_state_dict(checkpoint["state_dict"])

    def _trainer(self, checkpoints: Sequence[Callback], extras: Sequence[Callback]) -> pl.Trainer:
        train, terminal = self.parameters.train, is_terminal(sys.stdout)  # Lightning's bar is there
        callbacks: list[Callback] = [
            self.history, self.first_steps, self.predictions, self.epoch_timer,
        ]  # fmt: skip
        if self._logger:
            callbacks.append(loggers.EpochLogger(self.history))
        if not terminal:
            callbacks.append(EpochPrinter(self.title, self.history))
        if train.unfreeze_epoch:
            callbacks.append(
                ResumableBackboneFinetuning(train.unfreeze_epoch, train.backbone_learning_rate)
            )
        if networks.draws_masks(self.model.network):
            callbacks.append(SeedMasks(self.accelerator.name, self.parameters.seed))
        if self.accelerator.name in ("tpu", "xla"):
            callbacks.append(XLAGraphs(self.accelerator.name))
        arguments = trainer_arguments(
            self.accelerator.name, train.precision, self.parameters.trainer
        )
        if checkpoints:  # a fit without them repeats the first steps, whatever comes of them
            early_stopping = ResumableEarlyStopping(train.patience, start=train.unfreeze_epoch)
            callbacks += [RequireFinite(self.history), early_stopping, *checkpoints]
        return pl.Trainer(
            **arguments | {"plugins": [*arguments["plugins"], self._checkpoint_io]},
            max_epochs=train.max_epochs,
            deterministic=True,
            callbacks=[*callbacks, *extras],
            logger=self._logger or False,
            enable_checkpointing=bool(checkpoints),
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=terminal,
        )

    def _checkpoints(self, directory: Path) -> list[Callback]:
        self.best = ModelCheckpoint(
            directory, "best", monitor="val/loss", save_on_train_epoch_end=True,
            save_weights_only=True, enable_version_counter=False,
        )  # fmt: skip
        self.last = directory / "last.ckpt"
        last = ModelCheckpoint(
            directory, self.last.stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
        return [self.best, last]


def data_module(
    parameters: Parameters, *, features: bool = False, digests: bool = True
) -> ImageDataModule:
    """Make the DataModule that `parameters` describe.

    Args:
        features: whether its samples are features of a frozen backbone.
        digests: whether it records digests of the training samples' order and pixels.
    """
    kind, data = FeatureDataModule if features else ImageDataModule, parameters.data
    return kind(
        data.root, data.image_size, data.batch_size, data.num_workers, parameters.seed,
        cache_gib=data.cache_gib, digests=digests,
    )  # fmt: skip


def fine_tuner(
    parameters: Parameters, classes: int, norm_layer: type[nn.BatchNorm2d] = nn.BatchNorm2d
) -> FineTuner:
    """Make the model that `parameters` describe, for `classes` classes.

    Raises:
        UserError: the network or its weights cannot be had, or its batch norms cannot be
            synchronised.
    """
    train, model = parameters.train, parameters.model
    tuner = FineTuner(
        classes, parameters.seed, model, train.learning_rate, train.adam, norm_layer,
        parameters.data.image_size,
    )  # fmt: skip
    synchronised = parameters.trainer.sync_batchnorm and parameters.trainer.processes > 1
    if synchronised or norm_layer is not nn.BatchNorm2d:
        _refuse_other_batch_norms(tuner.network, model.architecture)
    return tuner


def norm_layer(accelerator: str, trainer: TrainerParameters) -> type[nn.BatchNorm2d]:
    """Return the class of batch norm layers on the accelerator.

    On GPUs Lightning itself replaces BatchNorm2d by torch's SyncBatchNorm if it is synchronised.
    """
    if accelerator in ("tpu", "xla"):
        return XLABatchNorm2d
    synchronised = trainer.sync_batchnorm and trainer.processes > 1
    return HostSyncBatchNorm2d if synchronised and accelerator == "cpu" else nn.BatchNorm2d


def _refuse_other_batch_norms(network: nn.Module, architecture: str) -> None:
    """Raise UserError if a batch norm is neither torch's BatchNorm2d nor what replaces it here.

    torch's SyncBatchNorm would replace timm's BatchNormAct2d too, and lose its activation.
    """
    for layer in network.modules():
        if isinstance(layer, _BatchNorm) and not (
            type(layer) is nn.BatchNorm2d or isinstance(layer, OwnStatistics)
        ):
            raise UserError(
                f"model.architecture = {architecture}: its {type(layer).__name__} cannot be "
                "synchronised, and its running statistics are not torch's on XLA.",
                "Choose another network, or trainer.sync_batchnorm = false on a CPU or GPU.",
            )


def silence_lightning() -> None:
    """Silence Lightning's general advice in this process: it does not apply to these runs."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # gathering bytes is fast
    warnings.filterwarnings("ignore", "GPU available but not used")  # the run is on the CPU
    warnings.filterwarnings("ignore", ".*LeafSpec.. is deprecated", FutureWarning)  # torch 2.11
    warnings.filterwarnings("ignore", ".*in eval mode at the start.*")  # a frozen backbone is
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")

"""Lightning's loggers, with which other tools can show a training."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from benchmark.common.parameters import LoggerName
from benchmark.errors.user_error import UserError
from benchmark.training.history import History

LOGS = Path("logs")


def logger(kind: LoggerName, title: str) -> Logger | None:
    """Make the logger of a training; it writes to a folder below LOGS named after `title`.

    Returns:
        None for the kind "none".

    Raises:
        UserError: the logger's package is not installed.
    """
    folder = LOGS / title.replace(" ", "-").replace(":", "-")
    if kind == "none":
        return None
    if kind == "csv":
        return CSVLogger(folder, name="", version="")
    if find_spec(kind) is None:
        raise UserError(
            f"train.logger: {kind} needs the package of that name, which is not installed.",
            f"Install it: uv pip install --python .venv {kind}.",
        )
    if kind == "tensorboard":
        return TensorBoardLogger(folder, name="", version="")
    dvclive = import_module("dvclive.lightning")
    live: Logger = dvclive.DVCLiveLogger(dir=str(folder), save_dvc_exp=False, dvcyaml=None)
    return live


class EpochLogger(Callback):
    """Sends each epoch's losses and metrics to the Trainer's logger at the end of the epoch.

    It must come after `history` in the Trainer's list of callbacks.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the epoch that `history` has just recorded, on rank 0."""
        assert trainer.logger
        epoch, *values = self._history.epochs[-1]
        names = "train/loss", "val/loss", "val/accuracy", "val/top5"
        trainer.logger.log_metrics(dict(zip(names, values, strict=True)), step=epoch)
        trainer.logger.save()

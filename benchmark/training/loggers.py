"""Lightning's own loggers, for whoever watches a training with other tools."""

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
    """The logger of a training that is called `title`, which writes to a folder of its own; None
    for "none".

    Raises:
        UserError: its package is not installed.
    """
    if kind == "none":
        return None
    if kind != "csv" and find_spec(kind) is None:
        raise UserError(
            f"train.logger: {kind} needs the package of that name, which is not installed.",
            f"Install it: uv pip install --python .venv {kind}.",
        )
    return _make(kind, LOGS / title.replace(" ", "-").replace(":", "-"))


def _make(kind: LoggerName, folder: Path) -> Logger:
    if kind == "csv":
        return CSVLogger(folder, name="", version="")
    if kind == "tensorboard":
        return TensorBoardLogger(folder, name="", version="")
    dvclive = import_module("dvclive.lightning")
    found: Logger = dvclive.DVCLiveLogger(dir=str(folder), save_dvc_exp=False, dvcyaml=None)
    return found


class EpochLogger(Callback):
    """Hands each epoch's losses and metrics to the Trainer's logger: once an epoch, when they are
    on the host anyway."""

    def __init__(self, history: History) -> None:
        self._history = history

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """`history`, which stands before this callback, has noted the epoch."""
        assert trainer.logger
        epoch, train_loss, loss, accuracy, top5 = self._history.epochs[-1]
        figures = {
            "train/loss": train_loss, "val/loss": loss, "val/accuracy": accuracy, "val/top5": top5,
        }  # fmt: skip
        trainer.logger.log_metrics(figures, step=epoch)
        trainer.logger.save()

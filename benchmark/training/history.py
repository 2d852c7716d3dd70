"""Callbacks that record a training: losses, metrics, digests, predictions and wall times."""

import time
from math import isfinite
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from benchmark.common.tensor_digests import state_digest
from benchmark.distributed.process_group import all_gather, gather_round_robin
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import synchronise

FIRST_STEPS = 10
DIGITS = 16
"""Number of hexadecimal digits that a tensor's digest has in the records."""
DIVERGED = "Lower train.learning_rate, or choose a finer train.precision."
"""Remedy for a number that is not finite."""


class History(Callback):
    """Records the loss of every step and the metrics of every epoch; both survive a resume.

    Losses stay on the device until their epoch ends, so that no step waits for the host.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, float]] = []
        """A row per step: step and epoch, both from 1, and training loss."""
        self.epochs: list[tuple[int, float, float, float, float]] = []
        """A row per epoch: number from 1, training and validation loss, accuracy, top-5."""
        self._pending: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keep the step's loss on its device."""
        self._pending.append(outputs["loss"].detach())

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Record the epoch's losses, averaged over the ranks, and its validation metrics."""
        epoch, metrics = trainer.current_epoch + 1, trainer.callback_metrics
        on_device = torch.stack(self._pending).float()
        losses = trainer.strategy.reduce(on_device, reduce_op="mean").cpu().tolist()
        self._pending.clear()
        for step, loss in enumerate(losses, start=len(self.steps) + 1):
            self.steps.append((step, epoch, loss))
        loss, accuracy, top5 = (float(metrics[f"val/{n}"]) for n in ("loss", "accuracy", "top5"))
        self.epochs.append((epoch, sum(losses) / len(losses), loss, accuracy, top5))

    def state_dict(self) -> dict[str, Any]:
        """Return the records of complete epochs."""
        return {"steps": list(self.steps), "epochs": list(self.epochs)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue an interrupted run's records."""
        self.steps, self.epochs = list(state_dict["steps"]), list(state_dict["epochs"])


def require_finite(quantity: str, value: float) -> None:
    """Raise UserError if `value` is not a finite number; `quantity` says what it is, and when."""
    if not isfinite(value):
        raise UserError(f"The {quantity} is {value}.", DIVERGED)


class RequireFinite(Callback):
    """Ends a training at the end of an epoch if one of its numbers is not finite.

    The epoch's checkpoints are not written: a repetition trains it again, and ends here too. It
    must come after `history` in the Trainer's list of callbacks.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Check the epoch's losses and metrics, the weights and the optimizer's state.

        All ranks must call it.

        Raises:
            UserError: one of them is not finite on one of the ranks.
        """
        epoch, _, *metrics = self._history.epochs[-1]
        for step, step_epoch, loss in self._history.steps:
            require_finite(f"training loss of step {step} in epoch {step_epoch}", loss)
        for name, value in zip(("loss", "accuracy", "top-5 accuracy"), metrics, strict=True):
            require_finite(f"validation {name} of epoch {epoch}", value)
        tensors = module.state_dict()
        names: dict[Tensor, str] = {value: name for name, value in module.named_parameters()}
        for optimizer in trainer.optimizers:
            for parameter, state in optimizer.state.items():
                tensors |= {f"{key} of {names[parameter]}": value for key, value in state.items()}
        # On XLA, each shape on the device would be a graph to compile.
        on_host = ((n, v.cpu() if v.is_xla else v) for n, v in tensors.items())
        faults = [name for name, value in on_host if not bool(value.isfinite().all())]
        for rank_faults in filter(None, all_gather(faults[:1])):
            raise UserError(
                f"After epoch {epoch} {rank_faults[0]} has a NaN or infinity.", DIVERGED
            )


class FirstStepsDigest(Callback):
    """Records digests of the network after each of the first FIRST_STEPS steps.

    A replay in another process compares its own and can name the first tensor that differs. The
    digests survive a resume.
    """

    def __init__(self, accelerator: str) -> None:
        self.steps = 0
        """The last step that was digested."""
        self.weights = ""
        """sha256 over all tensors of the network after step `steps`."""
        self.tensors: dict[str, list[str]] = {}
        """By tensor name: the first DIGITS digits of its digest after each step."""
        self.seconds = 0.0
        """Time spent on digests in this process; it is subtracted from the training's time."""
        self._accelerator = accelerator

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Digest every tensor, if the step is one of the first."""
        if trainer.global_step > FIRST_STEPS:
            return
        synchronise(self._accelerator)
        start = time.perf_counter()
        assert isinstance(module.network, nn.Module)
        state = {name: value.cpu() for name, value in module.network.state_dict().items()}
        for name, value in state.items():
            self.tensors.setdefault(name, []).append(state_digest({name: value})[:DIGITS])
        self.steps, self.weights = trainer.global_step, state_digest(state)
        self.seconds += time.perf_counter() - start

    def state_dict(self) -> dict[str, Any]:
        """Return the digests so far."""
        return {"steps": self.steps, "weights": self.weights, "tensors": self.tensors}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue an interrupted run's digests."""
        self.steps, self.weights = state_dict["steps"], state_dict["weights"]
        self.tensors = state_dict["tensors"]


class Predictions(Callback):
    """Records the predicted class of each test sample, and its probability."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float]] = []
        """Predicted label and its probability for each test sample, in the order of the files."""
        self._pending: list[Tensor] = []

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keep the logits on their device."""
        self._pending.append(outputs)

    def on_test_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Gather the logits of all ranks and record the predictions."""
        logits = gather_round_robin(torch.cat(self._pending)).cpu()
        best = logits.softmax(dim=1).max(dim=1)
        self._pending.clear()
        self.rows = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


class EpochTimer(Callback):
    """Records the wall time of every epoch in seconds, with its validation and checkpoints.

    The time that `digests` takes is left out. The times survive a resume, except for the time of
    writing the checkpoint from which the run resumed.
    """

    def __init__(self, accelerator: str, digests: FirstStepsDigest) -> None:
        self.seconds: list[float] = []
        self._digests = digests
        self._accelerator = accelerator
        self._start: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Add the checkpoints of the previous epoch to its time, and start the clock."""
        self._include_checkpoints()
        self._start = self._now()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Record the time of the epoch until before its checkpoints, which contain this record."""
        assert self._start is not None
        self.seconds.append(self._now() - self._start)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Add the checkpoints of the last epoch to its time."""
        self._include_checkpoints()

    def _include_checkpoints(self) -> None:
        """Replace the last time by one until now.

        Lightning writes checkpoints after the hooks of all other callbacks.
        """
        if self._start is not None:
            self.seconds[-1] = self._now() - self._start

    def state_dict(self) -> dict[str, Any]:
        """Return the times so far."""
        return {"seconds": list(self.seconds)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue an interrupted run's times."""
        self.seconds = list(state_dict["seconds"])

    def _now(self) -> float:
        """Wait for the device; return the clock in seconds, without the time of digests."""
        synchronise(self._accelerator)
        return time.perf_counter() - self._digests.seconds


class EpochPrinter(Callback):
    """Prints one plain line for each epoch, for output that is not a terminal.

    It must come after `history` in the Trainer's list of callbacks.
    """

    def __init__(self, label: str, history: History) -> None:
        self._label = label
        self._history = history

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Print the epoch that `history` has just recorded, on rank 0."""
        if not trainer.is_global_zero:
            return
        epoch, train_loss, loss, accuracy, _ = self._history.epochs[-1]
        print(
            f"{self._label} epoch {epoch}/{trainer.max_epochs}: train loss {train_loss:.3f}, "
            f"val loss {loss:.3f}, val accuracy {accuracy:.1%}",
            flush=True,
        )

"""What a training run leaves behind besides its weights: losses, metrics, predictions and wall
times."""

import time
from math import isfinite
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from benchmark.common.digests import of_state
from benchmark.distributed.process_group import gather_round_robin
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import synchronise

FIRST_STEPS = 10
SHORT = 16
"""Hex digits that tell a tensor from any other that it might have been."""
DIVERGED = "Lower train.learning_rate, or choose a finer train.precision."
"""What to do about a loss that is no finite number."""


class History(Callback):
    """Losses of every step and metrics of every epoch; both survive a resume.

    Losses stay on the device until their epoch ends, so that no step waits for the host.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, float]] = []
        self.epochs: list[tuple[int, float, float, float, float]] = []
        self._pending: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keep the step's loss where it is."""
        self._pending.append(outputs["loss"].detach())

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Fetch the epoch's losses and its validation metrics.

        Raises:
            UserError: a loss is not a finite number.
        """
        epoch, metrics = trainer.current_epoch + 1, trainer.callback_metrics
        found = torch.stack(self._pending).float()
        losses = trainer.strategy.reduce(found, reduce_op="mean").cpu().tolist()
        self._pending.clear()
        for step, loss in enumerate(losses, start=len(self.steps) + 1):
            if not isfinite(loss):
                raise UserError(f"The training loss of step {step} is {loss}.", DIVERGED)
            self.steps.append((step, epoch, loss))
        loss, accuracy, top5 = (float(metrics[f"val/{n}"]) for n in ("loss", "accuracy", "top5"))
        self.epochs.append((epoch, sum(losses) / len(losses), loss, accuracy, top5))

    def state_dict(self) -> dict[str, Any]:
        """Everything recorded up to the end of an epoch."""
        return {"steps": list(self.steps), "epochs": list(self.epochs)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue a recording."""
        self.steps, self.epochs = list(state_dict["steps"]), list(state_dict["epochs"])


class FirstStepsDigest(Callback):
    """Digests of the network after each of the first FIRST_STEPS steps; survives a resume. A
    replay in another process must come to the same, or can say where it did not."""

    def __init__(self, accelerator: str) -> None:
        self.steps = 0
        self.weights = ""
        """Of the whole network after the last of them."""
        self.tensors: dict[str, list[str]] = {}
        """By name, the first SHORT digits of a tensor's digest after each of them."""
        self.seconds = 0.0
        """What all this took in this process: no part of a training's time."""
        self._accelerator = accelerator

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """After one of the first steps: fetch the weights and digest each."""
        if trainer.global_step > FIRST_STEPS:
            return
        synchronise(self._accelerator)
        start = time.perf_counter()
        state = self._state(module)
        for name, value in state.items():
            self.tensors.setdefault(name, []).append(of_state({name: value})[:SHORT])
        if trainer.global_step == FIRST_STEPS:
            self.steps, self.weights = FIRST_STEPS, of_state(state)
        self.seconds += time.perf_counter() - start

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """If the fit was shorter: digest where it ended."""
        if trainer.global_step < FIRST_STEPS:
            start = time.perf_counter()
            self.steps, self.weights = trainer.global_step, of_state(self._state(module))
            self.seconds += time.perf_counter() - start

    def state_dict(self) -> dict[str, Any]:
        """What was noted."""
        return {"steps": self.steps, "weights": self.weights, "tensors": self.tensors}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep what an interrupted run had noted."""
        self.steps, self.weights = state_dict["steps"], state_dict["weights"]
        self.tensors = state_dict["tensors"]

    def _state(self, module: LightningModule) -> dict[str, Tensor]:
        """The network's tensors, on the host."""
        assert isinstance(module.network, nn.Module)
        return {name: value.cpu() for name, value in module.network.state_dict().items()}


class Predictions(Callback):
    """The class that each test sample is taken for, and how probable it is said to be."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float]] = []
        self._pending: list[Tensor] = []

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keep the logits where they are."""
        self._pending.append(outputs)

    def on_test_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Fetch them."""
        logits = gather_round_robin(torch.cat(self._pending)).cpu()
        found = logits.softmax(dim=1).max(dim=1)
        self._pending.clear()
        self.rows = list(zip(found.indices.tolist(), found.values.tolist(), strict=True))


class EpochTimer(Callback):
    """Wall time of every epoch in seconds, its validation and its checkpoints included but not the
    digests of `evidence`; survives a resume, but for the time of the checkpoint that was resumed
    from."""

    def __init__(self, accelerator: str, evidence: FirstStepsDigest) -> None:
        self.seconds: list[float] = []
        self._evidence = evidence
        self._accelerator = accelerator
        self._start: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """End the epoch before, whose checkpoints are written, and start the clock."""
        self._include_checkpoints()
        self._start = self._now()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Note what a checkpoint can hold: the epoch without it."""
        assert self._start is not None
        self.seconds.append(self._now() - self._start)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """End the last epoch."""
        self._include_checkpoints()

    def _include_checkpoints(self) -> None:
        """Checkpoints are written after every other callback's end of the epoch."""
        if self._start is not None:
            self.seconds[-1] = self._now() - self._start

    def state_dict(self) -> dict[str, Any]:
        """The times so far."""
        return {"seconds": list(self.seconds)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the times of a checkpoint."""
        self.seconds = list(state_dict["seconds"])

    def _now(self) -> float:
        synchronise(self._accelerator)
        return time.perf_counter() - self._evidence.seconds


class EpochPrinter(Callback):
    """One plain line per epoch, for output that is not a terminal."""

    def __init__(self, label: str, history: History) -> None:
        self._label = label
        self._recorder = history

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Print the epoch that `history`, which stands before this callback, has noted."""
        if not trainer.is_global_zero:
            return
        epoch, train_loss, loss, accuracy, _ = self._recorder.epochs[-1]
        print(
            f"{self._label} epoch {epoch}/{trainer.max_epochs}: train loss {train_loss:.3f}, "
            f"val loss {loss:.3f}, val accuracy {accuracy:.1%}",
            flush=True,
        )

"""The ways to train whose speeds are compared. They share one network and one optimizer, so that
nothing differs but who brings the batches and who runs the loop.

| mode | a step of it |
| --- | --- |
| compute | trains on one batch that is on the device, normalised |
| loop | a plain PyTorch loop over the DataModule |
| trainer | Lightning's Trainer over the DataModule |
| baseline | the plain loop over ImageFolder, see baseline.py |
| input | asks the DataModule's loader for a batch |
| baseline_input | asks ImageFolder's loader for a batch |
"""

import atexit
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Protocol

import psutil
import pytorch_lightning as pl
import torch
from greenlet import greenlet
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmark import accelerators
from benchmark.parameters import Precision
from benchmark.sampling import EpochSampler

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Mode(Protocol):
    """One way to train."""

    def run(self, steps: int) -> None:
        """Do so many steps. The accelerator may still be at work on them afterwards."""


class Step:
    """One optimizer step in plain PyTorch, in the order of torchvision's training reference.

    Gradients are dropped after the forward pass, as Lightning does: their memory then serves the
    backward pass. Dropped before, it serves the forward pass, and a step on a CPU is 3 % slower.
    """

    def __init__(
        self,
        accelerator: str,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        precision: str,
    ) -> None:
        self._accelerator = accelerator
        self._model = model
        self._optimizer = optimizer
        self._device = accelerators.device(accelerator)
        self._autocast = AUTOCAST.get(precision)
        self._scaler = torch.GradScaler(self._device.type, enabled=precision == "16-mixed")

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on a batch that is on the device."""
        with torch.autocast(
            self._device.type, dtype=self._autocast, enabled=self._autocast is not None
        ):
            loss = nn.functional.cross_entropy(self._model(images), labels)
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        accelerators.dispatch(self._accelerator)


@dataclass
class Compute:
    """Steps on one resident batch: what the accelerator could do if input cost nothing."""

    step: Step
    images: Tensor
    labels: Tensor

    def run(self, steps: int) -> None:
        """Train on the batch again and again."""
        for _ in range(steps):
            self.step(self.images, self.labels)


class Input:
    """A loader's batches without end, thrown away."""

    def __init__(self, loader: DataLoader[Any], steps_per_epoch: int) -> None:
        self.waited = 0.0
        """Seconds in which the host waited for batches."""
        self._batches = _endless(loader, steps_per_epoch)

    def run(self, steps: int) -> None:
        """Ask for batches."""
        for _ in range(steps):
            self.next()

    def next(self) -> Any:
        """The next batch, on the host."""
        start = time.perf_counter()
        batch = next(self._batches)
        self.waited += time.perf_counter() - start
        return batch


@dataclass
class Loop:
    """A plain loop: a batch from `source`, to the device, `finish` it there, a step."""

    step: Step
    source: Input
    device: torch.device
    finish: Callable[..., tuple[Tensor, Tensor]]
    """From a batch's tensors to normalised images and labels."""

    def run(self, steps: int) -> None:
        """Train on the next batches."""
        alongside = self.device.type == "cuda"  # elsewhere it gains nothing, on MPS it is unsafe
        for _ in range(steps):
            batch = self.source.next()
            moved = [tensor.to(self.device, non_blocking=alongside) for tensor in batch]
            self.step(*self.finish(*moved))


class Lightning(pl.Callback):
    """Trainer.fit as a coroutine: it goes on for so many steps and then waits.

    A greenlet is a second stack in the same thread. So the modes can take turns while Lightning
    keeps its own loop, and its steps run on the same OpenMP threads as those of the others.
    """

    def __init__(self, module: pl.LightningModule, data: pl.LightningDataModule) -> None:
        self._module = module
        self._data = data
        self._left = 0

    def start(self, trainer: pl.Trainer) -> None:
        """Begin to fit, up to the first step. `trainer` has this as its last callback."""
        self._trainer = trainer
        self._fit = greenlet(lambda: trainer.fit(self._module, datamodule=self._data))
        self._fit.switch()

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The one that the Trainer steps."""
        return self._trainer.optimizers[0]

    def run(self, steps: int) -> None:
        """Go on with the fit."""
        self._left = steps
        self._fit.switch()
        assert not self._fit.dead, "the fit ended before it was told to"

    def stop(self) -> None:
        """Let the fit end as a fit does: its loop asks after each step whether it should."""
        self._trainer.should_stop = True
        while not self._fit.dead:
            self._left = 1
            self._fit.switch()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Wait for the first `run`."""
        self._fit.parent.switch()

    def on_train_batch_end(self, *_: Any) -> None:
        """Wait for the next `run`, if this one is done."""
        self._left -= 1
        if not self._left:
            self._fit.parent.switch()


def bare_trainer(
    accelerator: str, precision: Precision, callback: pl.Callback, **limits: Any
) -> pl.Trainer:
    """The training stage's Trainer without whatever is not training: no validation, no
    checkpoints, nothing logged or shown."""
    return pl.Trainer(
        **accelerators.trainer_arguments(accelerator),
        **limits,
        precision=precision,
        limit_val_batches=0,
        deterministic=True,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


class Crew:
    """The loader processes that a mode has started. They stand still unless it runs: else they
    would fill their queues in the pauses, slow down the other modes and have a head start.
    """

    def __init__(self) -> None:
        self._members: list[psutil.Process] = []
        # A process that stands still cannot be ended: its parent would wait for it at exit.
        atexit.register(self.dismiss)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let the members go on for the length of the block; who is started in it joins."""
        before = {process.pid for process in multiprocessing.active_children()}
        self._tell(psutil.Process.resume)
        try:
            yield
        finally:
            now = {process.pid for process in multiprocessing.active_children()}
            self._members += map(psutil.Process, now - before)
            self._tell(_suspend)

    def dismiss(self) -> None:
        """Let the members go on for good, so that their loaders can end them."""
        self._tell(psutil.Process.resume)
        self._members.clear()
        atexit.unregister(self.dismiss)

    def _tell(self, action: Callable[[psutil.Process], None]) -> None:
        self._members = [member for member in self._members if member.is_running()]
        for member in self._members:
            with suppress(psutil.NoSuchProcess):
                action(member)


def _suspend(process: psutil.Process) -> None:
    """A signal is on its way for a moment: wait until the process does stand still."""
    process.suspend()
    while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
        pass


def _endless(loader: DataLoader[Any], steps_per_epoch: int) -> Iterator[Any]:
    for epoch in count():
        if isinstance(loader.sampler, EpochSampler):
            loader.sampler.set_epoch(epoch)
        yield from islice(loader, steps_per_epoch)

"""Classes of the modes that share one network and one optimizer.

The modes differ only in what provides the batches and what runs the loop. All modes are listed in
`benchmark/common/modes.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmark.data.sampling import EpochSampler
from benchmark.machine import accelerators
from benchmark.training.precision import tf32

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Mode(Protocol):
    """What a ModeTimer times: a training loop, or a loader of batches."""

    def run(self, steps: int) -> None:
        """Run `steps` steps; the accelerator may still be computing when this returns."""


class TrainingStep:
    """One optimizer step in plain PyTorch, as in torchvision's training reference.

    Only the gradients are freed at another place: after the step.
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
        self._precision = precision
        self._autocast = AUTOCAST.get(precision)
        self._scaler = torch.GradScaler(self._device.type, enabled=precision == "16-mixed")

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on normalised float images (n, 3, h, w) and int64 labels (n,) on the device."""
        with tf32(self._precision == "tf32"):
            with torch.autocast(
                self._device.type, dtype=self._autocast, enabled=self._autocast is not None
            ):
                loss = nn.functional.cross_entropy(self._model(images), labels)
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
            # Here, as in FineTuner: the next forward pass can use the gradients' memory.
            self._optimizer.zero_grad()
        accelerators.end_xla_graph(self._accelerator)


@dataclass
class Compute:
    """Mode that trains on one batch that stays on the device: the speed without input."""

    step: TrainingStep
    images: Tensor
    labels: Tensor

    def run(self, steps: int) -> None:
        """Train `steps` times on the batch."""
        for _ in range(steps):
            self.step(self.images, self.labels)


@dataclass
class Nondeterministic:
    """Mode that trains as `compute`, while torch may choose nondeterministic kernels."""

    compute: Compute

    def run(self, steps: int) -> None:
        """Train `steps` times on the batch, then restore torch's setting."""
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
        try:
            self.compute.run(steps)
        finally:
            torch.use_deterministic_algorithms(before)


class LoaderOnly:
    """Mode that takes batches from a loader, epoch after epoch, and discards them."""

    def __init__(self, loader: DataLoader[Any], steps_per_epoch: int) -> None:
        self._batches = _endless(loader, steps_per_epoch)

    def start(self) -> None:
        """Take one batch, so that the loader starts its workers."""
        self.next()

    def run(self, steps: int) -> None:
        """Take `steps` batches."""
        for _ in range(steps):
            self.next()

    def next(self) -> Any:
        """Return the loader's next batch, on the host."""
        return next(self._batches)


@dataclass
class Loop:
    """Mode with a plain loop: next batch of `source`, to the device, `finish`, training step."""

    step: TrainingStep
    source: LoaderOnly
    device: torch.device
    finish: Callable[..., tuple[Tensor, Tensor]] = lambda images, labels: (images, labels)
    """Returns normalised images and labels, given the batch's tensors on the device."""

    def start(self) -> None:
        """Take one batch, so that the loader starts its workers."""
        self.source.start()

    def run(self, steps: int) -> None:
        """Train on the next `steps` batches."""
        non_blocking = self.device.type == "cuda"  # gains nothing elsewhere, is unsafe on MPS
        for _ in range(steps):
            batch = self.source.next()
            moved = [tensor.to(self.device, non_blocking=non_blocking) for tensor in batch]
            self.step(*self.finish(*moved))


def _endless(loader: DataLoader[Any], steps_per_epoch: int) -> Iterator[Any]:
    for epoch in count():
        if isinstance(loader.sampler, EpochSampler):
            loader.sampler.set_epoch(epoch)
        yield from islice(loader, steps_per_epoch)

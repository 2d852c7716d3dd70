"""A model that learns nothing and notes what it is shown."""

import hashlib
import pickle
import random
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule as Module
else:  # which of Lightning's packages has it, the DataModule says
    Module = object

LABELS = ("labels", "label", "targets", "target", "y")


class Step(NamedTuple):
    """What one step was shown, as the model gets it."""

    samples: tuple[str, ...]
    """One digest per sample, over all tensors of the batch."""
    labels: Tensor | None
    """Integers (n,): the second thing of a tuple, or what a mapping has under one of LABELS."""
    layout: tuple[str, ...]
    """dtype and shape of a sample, for each tensor."""
    lengths: tuple[int, ...]
    """The first dimension of each tensor."""
    images: tuple[tuple[float, float], ...]
    """Least and greatest value of each float tensor of four dimensions; NaN if any is."""
    generators: dict[str, str]
    """Digests of the states of the process's global generators, before the step."""
    loader: int
    """dataloader_idx."""


class Probe(Module):
    """Notes every batch of every stage.

    Args:
        draws: draw from the global generators in each training step, as dropout does.
        fails: raise in the first training step.
    """

    def __init__(self, draws: bool = False, fails: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.draws = draws
        self.fails = fails
        self.passes: dict[str, list[list[Step]]] = {"fit": []}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.fails:
            raise RuntimeError("this step was told to fail")
        self._note("fit", batch, batch_idx, 0)
        if self.draws:
            torch.rand(1), np.random.rand(), random.random()
        return self.weight * 0

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if not self.trainer.sanity_checking:
            self._note("validate", batch, batch_idx, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._note("test", batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._note("predict", batch, batch_idx, dataloader_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)

    def _note(self, stage: str, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        passes = self.passes.setdefault(stage, [])
        if (batch_idx, dataloader_idx) == (0, 0):
            passes.append([])
        passes[-1].append(seen(batch, dataloader_idx))


def probe_for(package: ModuleType, **options: bool) -> Any:
    """A Probe that the Trainer of this one of Lightning's packages takes."""
    kind = type("Probe", (Probe, package.LightningModule), {})
    return kind(**options)


def seen(batch: Any, loader: int = 0) -> Step:
    """What can be said of a batch: a tensor, or any nest of tuples, mappings and dataclasses."""
    tensors: list[Tensor] = []
    apply_to_collection(batch, Tensor, lambda tensor: tensors.append(tensor.detach().cpu()))
    full = [tensor for tensor in tensors if tensor.ndim]
    floats = [tensor for tensor in full if tensor.ndim == 4 and tensor.is_floating_point()]
    return Step(
        samples=_samples(full),
        labels=_labels(batch),
        layout=tuple(f"{tensor.dtype} {tuple(tensor.shape[1:])}" for tensor in full),
        lengths=tuple(len(tensor) for tensor in full),
        images=tuple((float(tensor.min()), float(tensor.max())) for tensor in floats),
        generators=_generators(),
        loader=loader,
    )


def _samples(tensors: list[Tensor]) -> tuple[str, ...]:
    count = min((len(tensor) for tensor in tensors), default=0)
    return tuple(
        hashlib.sha256(b"".join(_bytes(tensor[index]) for tensor in tensors)).hexdigest()
        for index in range(count)
    )


def _bytes(tensor: Tensor) -> bytes:
    # contiguous() leaves a view of one element as it is, with strides that view(dtype) refuses.
    packed = tensor.clone(memory_format=torch.contiguous_format)
    return packed.view(-1).view(torch.uint8).numpy().tobytes()


def _labels(batch: Any) -> Tensor | None:
    found = None
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        found = batch[1]
    elif isinstance(batch, dict):
        found = next((batch[name] for name in LABELS if name in batch), None)
    if isinstance(found, Tensor) and found.ndim == 1 and not found.is_floating_point():
        return found.detach().cpu().clone()
    return None


def _generators() -> dict[str, str]:
    states = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": pickle.dumps(np.random.get_state(legacy=False)),
        "random": pickle.dumps(random.getstate()),
    }
    return {name: hashlib.sha256(state).hexdigest() for name, state in states.items()}

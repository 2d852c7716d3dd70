"""Everything that a training computes, as digests: what shows where two trainings part."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, TextIO

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from benchmark.common import digests

LENGTH = 16
"""Hex digits of each digest."""


class Trace(Callback):
    """Writes one line of JSON for each training step: the loss, and by name the digests of each
    layer's output, of each gradient and of each weight after the step."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._step: dict[str, Any] = {}
        self._handles: list[Any] = []

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Listen to each layer."""
        network = module.network
        assert isinstance(network, nn.Module)
        for name, layer in network.named_modules():
            listen = partial(self._listen, trainer, name or "network")
            self._handles.append(layer.register_forward_hook(listen))

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Begin the step's line."""
        self._step = {"step": trainer.global_step + 1, "outputs": {}}

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Digest the gradients."""
        named = module.named_parameters()
        self._step["gradients"] = of_each({n: p.grad for n, p in named if p.grad is not None})

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Digest the weights and write the line."""
        self._step["weights"] = of_each(module.state_dict())
        self._step["loss"] = f"{float(outputs['loss']):.9g}"
        print(json.dumps(self._step), file=self._file, flush=True)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Listen no longer."""
        for handle in self._handles:
            handle.remove()

    def _listen(
        self, trainer: Trainer, name: str, layer: nn.Module, inputs: Any, output: Tensor
    ) -> None:
        if trainer.training:
            self._step["outputs"] |= of_each({name: output})


def of_each(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The digest of each of some named tensors."""
    return {name: digests.of_state({name: value})[:LENGTH] for name, value in tensors.items()}


def first_difference(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    """Where two traces part, in words; "" where they do not.

    Within a step, in the order in which it computes: outputs, loss, gradients, weights.
    """
    for step, (left, right) in enumerate(zip(one, other, strict=False), start=1):
        for kind in ("outputs", "loss", "gradients", "weights"):
            if left[kind] != right[kind]:
                return f"step {step}, {kind}{_names(left[kind], right[kind])}"
    return "" if len(one) == len(other) else f"{len(one)} and {len(other)} steps"


def _names(one: Any, other: Any) -> str:
    if not isinstance(one, dict):
        return f": {one} and {other}"
    different = [name for name in one if one[name] != other.get(name)]
    return f" of {different[0]} and of {len(different) - 1} more" if different else ""

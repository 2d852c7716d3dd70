"""Digests of everything that a training computes, to find where two trainings differ."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, TextIO

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from benchmark.common import tensor_digests

LENGTH = 16
"""Hex digits of each digest."""


class Trace(Callback):
    """Writes one line of JSON for each training step.

    It has the loss and, by name, the digests of outputs, gradients and weights after the step.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._step: dict[str, Any] = {}
        self._handles: list[Any] = []

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Register a hook on each layer."""
        network = module.network
        assert isinstance(network, nn.Module)
        for name, layer in network.named_modules():
            hook = partial(self._record_output, trainer, name or "network")
            self._handles.append(layer.register_forward_hook(hook))

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Start the step's record."""
        self._step = {"step": trainer.global_step + 1, "outputs": {}}

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Digest the gradients."""
        named = module.named_parameters()
        self._step["gradients"] = digest_by_name(
            {n: p.grad for n, p in named if p.grad is not None}
        )

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Digest the weights and write the step's line."""
        self._step["weights"] = digest_by_name(module.state_dict())
        self._step["loss"] = f"{float(outputs['loss']):.9g}"
        print(json.dumps(self._step), file=self._file, flush=True)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _record_output(
        self, trainer: Trainer, name: str, layer: nn.Module, inputs: Any, output: Tensor
    ) -> None:
        if trainer.training:
            self._step["outputs"] |= digest_by_name({name: output})


def digest_by_name(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The digest of each tensor, by its name."""
    return {
        name: tensor_digests.state_digest({name: value})[:LENGTH] for name, value in tensors.items()
    }


def first_difference(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> str:
    """The first difference of two traces, in words; empty if there is none.

    Within a step, in the order in which it computes: outputs, loss, gradients, weights.
    """
    for step, (a, b) in enumerate(zip(left, right, strict=False), start=1):
        for kind in ("outputs", "loss", "gradients", "weights"):
            if a[kind] != b[kind]:
                return f"step {step}, {kind}{_names(a[kind], b[kind])}"
    return "" if len(left) == len(right) else f"{len(left)} and {len(right)} steps"


def _names(left: Any, right: Any) -> str:
    if not isinstance(left, dict):
        return f": {left} and {right}"
    different = [name for name in left if left[name] != right.get(name)]
    return f" of {different[0]} and of {len(different) - 1} more" if different else ""

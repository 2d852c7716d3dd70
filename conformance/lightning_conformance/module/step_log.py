"""Log of an evaluation's steps: what depends on chance, and on the other samples of a batch."""

import contextlib
import functools
import math
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from pytorch_lightning.utilities.data import extract_batch_size
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_conformance import generators
from lightning_conformance.digests import tensors
from lightning_conformance.messages import FRAMEWORK

SOFTMAX = ("aten::_softmax", "aten::_log_softmax")
DROPOUT = ("aten::bernoulli_", "aten::native_dropout")
"""Operators of dropout. A model that samples on purpose calls others."""
LOW_PRECISION = (torch.bfloat16, torch.float16)
Projection = tuple[tuple[int, ...], Tensor]
"""The shape of a layer's output for a sample, and one number for each sample."""

Call = tuple[str, int]
"""An operator, and which of its calls in the step it is."""


@dataclass
class StepLog:
    """What the steps of one evaluation did."""

    sizes: list[int]
    """The numbers of samples of the coming batches. The steps take them from the front."""
    metrics: dict[str, float] = field(default_factory=dict)
    training: list[str] = field(default_factory=list)
    """Layers with dropout or batch statistics that ran in training mode."""
    dropout: list[str] = field(default_factory=list)
    """Lines that drew a mask of dropout."""
    draws: list[str] = field(default_factory=list)
    """Lines that drew other random numbers, or names of generators that were used."""
    low_precision: list[str] = field(default_factory=list)
    """Lines that make a tensor of 16 bits, whose rounding may depend on the batch size."""
    softmaxes: dict[Call, str] | None = None
    """Calls of softmax over the samples, in each step of several samples, with their lines."""
    comparisons: dict[Call, str] | None = None
    """Calls that return an element for each pair of samples, in each such step."""
    outputs: dict[str, list[Projection] | None] = field(default_factory=dict)
    """By layer, in the order of calls: its outputs; None if they have no row for each sample."""
    by_hand: set[str] = field(default_factory=set)
    """Metrics that were logged outside of a step, or with another weight than its samples."""

    @contextlib.contextmanager
    def watching(self, module: Any, step: str) -> Iterator[None]:
        """Log what `step` of the module does in the block."""
        watch, before = _Watch(self, module, step), generators.state_digests()
        with watch.installed():
            yield
        changed = generators.changed_names(before, generators.state_digests())
        if not self.draws and not self.dropout:
            self.draws += [f"the global generator of {name}" for name in changed]


class _Watch(TorchDispatchMode):
    """Watches the steps of a module, the layers that they call and their operators."""

    def __init__(self, log: StepLog, module: Any, step: str) -> None:
        super().__init__()
        self.log, self.module, self.step = log, module, step
        self.sizes = iter(log.sizes)
        self.samples = 0
        """Samples of the running step; 0 outside of a step."""
        self.calls: Counter[str] = Counter()
        """The calls of each layer and operator in the running step."""
        self.softmaxes: dict[Call, str] = {}
        self.comparisons: dict[Call, str] = {}
        """The calls of the running step, as in the log."""
        self.names = {id(layer): name for name, layer in module.named_modules()}
        self.projecting = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        original_step, original_log = getattr(self.module, self.step), self.module.log

        @functools.wraps(original_step)
        def watched_step(batch: Any, *arguments: Any, **options: Any) -> Any:
            self.samples, self.batch = next(self.sizes), batch
            self.calls, self.softmaxes, self.comparisons = Counter(), {}, {}
            hook = nn.modules.module.register_module_forward_hook(self.after_layer)
            try:
                with self:
                    returned = original_step(batch, *arguments, **options)
                self.add_outputs(f"the result of {self.step}", returned)
                self.keep_calls()
            finally:
                hook.remove()
                self.samples = 0
            return returned

        def watched_log(name: str, value: Any, *arguments: Any, **options: Any) -> None:
            if self.samples == 0 or self.weight(options.get("batch_size")) != self.samples:
                self.log.by_hand.add(name)
            original_log(name, value, *arguments, **options)

        setattr(self.module, self.step, watched_step)
        self.module.log = watched_log
        try:
            yield
        finally:
            delattr(self.module, self.step)
            del self.module.log

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        may_draw = torch.Tag.nondeterministic_seeded in function.tags and not self.projecting
        state = torch.get_rng_state() if may_draw else None
        result = function(*arguments, **options or {})
        if self.projecting:
            return result
        name, samples = function._schema.name, self.samples
        self.calls[name] += 1
        if state is not None and not state.equal(torch.get_rng_state()):
            _add(self.log.dropout if name in DROPOUT else self.log.draws, _line())
        if isinstance(result, Tensor) and result.dtype in LOW_PRECISION:
            _add(self.log.low_precision, _line())
        if name in SOFTMAX:
            values, axis = arguments[:2]
            if values.ndim > 1 and axis % values.ndim == 0 and len(values) == samples:
                self.softmaxes[name, self.calls[name]] = _line()
        if (
            isinstance(result, Tensor)
            and not result.is_nested
            and list(result.shape).count(samples) > 1
        ):
            self.comparisons[name, self.calls[name]] = _line()
        return result

    def keep_calls(self) -> None:
        """Keep the calls that all steps have: a length may equal one batch size by chance."""
        if self.samples > 1:
            self.log.softmaxes = common(self.log.softmaxes, self.softmaxes)
            self.log.comparisons = common(self.log.comparisons, self.comparisons)

    def after_layer(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        """Log the output of a layer, and whether the layer is in training mode."""
        name = self.names.get(id(layer), "")
        text = f"{name} ({type(layer).__name__})" if name else type(layer).__name__
        if layer.training and _differs_in_training(layer):
            _add(self.log.training, text)
        self.add_outputs(text, output)

    def add_outputs(self, name: str, output: Any) -> None:
        """Log one number per sample for each tensor in the output."""
        self.projecting = True
        for tensor in tensors(output):
            if not tensor.is_floating_point() or tensor.is_sparse or tensor.is_nested:
                continue
            self.calls[name] += 1
            key = name if self.calls[name] == 1 else f"{name}, output {self.calls[name]}"
            earlier = self.log.outputs.setdefault(key, [])
            if tensor.ndim == 0 or len(tensor) != self.samples:
                self.log.outputs[key] = None
            elif earlier is not None:
                earlier.append((tuple(tensor.shape[1:]), _project(tensor)))
        self.projecting = False

    def weight(self, batch_size: int | None) -> int:
        """Return the weight that Lightning gives to a value that the running step logs."""
        return extract_batch_size(self.batch) if batch_size is None else batch_size


def common(first: dict[Call, str] | None, second: dict[Call, str] | None) -> dict[Call, str] | None:
    """Return the calls of both steps. None is a step of one sample, which can have any."""
    if first is None or second is None:
        return second if first is None else first
    return {call: line for call, line in first.items() if call in second}


def _project(tensor: Tensor) -> Tensor:
    """Return a number for each row, which changes if any element of the row does."""
    rows = tensor.detach().double().reshape(len(tensor), -1)
    weights = torch.arange(rows.shape[1], dtype=torch.float64).cos()
    return rows @ weights / math.sqrt(max(1, rows.shape[1]))


def _differs_in_training(layer: nn.Module) -> bool:
    """Return whether the layer draws or uses the statistics of a batch in training mode."""
    if isinstance(layer, _DropoutNd):
        return layer.p > 0
    rate = getattr(layer, "dropout", 0)  # of an RNN or an attention
    return isinstance(layer, _BatchNorm) or (isinstance(rate, float) and rate > 0)


def _add(texts: list[str], text: str) -> None:
    if text not in texts:
        texts.append(text)


def _line() -> str:
    """Return function, file and line of the innermost running user code."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        package, file = frame.f_globals.get("__name__", ""), frame.f_code.co_filename
        if package.partition(".")[0] not in FRAMEWORK and "site-packages" not in file:
            return f"{frame.f_code.co_name} in {file}:{frame.f_lineno}"
        frame = frame.f_back
    return "an installed package"

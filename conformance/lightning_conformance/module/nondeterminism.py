"""Operators that torch documents as non-deterministic on CUDA, and the lines that call them.

The list follows the documentation of `torch.use_deterministic_algorithms`. A test compares it with
that of the installed torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._C._autograd import _get_sequence_nr

from lightning_conformance.module.user_code import Place, UserCode

Arguments = Mapping[str, Any]
"""By name: the arguments of an operator, with tensors on the CPU."""
LIST_OF = "2.9.1"
"""The version of torch whose list this is."""


@dataclass(frozen=True)
class Operator:
    """One entry of the documentation."""

    documented: str
    """The class or function that the documentation names."""
    name: str
    """The operator that is not deterministic: with "_backward" if only the gradient is not."""
    raises: bool
    """Whether it raises under `torch.use_deterministic_algorithms(True)`. If not, it repeats."""
    applies: Callable[[Arguments], bool] = lambda arguments: True
    """Whether a call of the operator is not deterministic."""


EXPLAINED = {
    "torch.Tensor.__getitem__": "it is about tensors on the CPU",
    "torch.Tensor.resize_": "it is about quantized tensors, which do not train",
    "torch.bmm": "sparse matrices are not simulated; dense ones repeat: one stream computes them, "
    "and Trainer(deterministic=True) sets CUBLAS_WORKSPACE_CONFIG",
    "torch.mm": "as torch.bmm",
    "torch.mv": "as torch.bmm",
    "torch.repeat_interleave": "its gradient is that of torch.index_select",
    "torch.nn.MaxUnpool1d": "it calls the operator of torch.nn.MaxUnpool2d",
}
"""By documented name: why it is not in OPERATORS."""
INTERPOLATE = "torch.nn.functional.interpolate"
MODE_MAX = 2
"""The number of mode "max" of EmbeddingBag."""
GRADIENTS = {"GatherBackward0": "torch.gather", "IndexSelectBackward0": "torch.index_select"}
"""By node of the graph: the function whose gradient it is, if the node calls another's operator."""


def _collide(index: Tensor, dim: int) -> bool:
    """Return whether two elements that differ in dimension `dim` alone are equal."""
    if index.dim() == 0 or index.numel() == 0:
        return False
    return bool((index.sort(dim).values.diff(dim=dim) == 0).any())


def _adds_twice(arguments: Arguments) -> bool:
    """Return whether numbers that are not exact are added to one element in any order."""
    source = arguments.get("src", arguments.get("source"))
    index, dim = arguments["index"], arguments["dim"]
    return source.is_floating_point() and _collide(index, dim if index.dim() > 1 else 0)


def _writes_twice(arguments: Arguments) -> bool:
    """Return whether two values of `src` or `source` are written to one element."""
    index, dim = arguments["index"], arguments["dim"]
    has_values = isinstance(arguments.get("src", arguments.get("source")), Tensor)
    return has_values and _collide(index, dim if index.dim() > 1 else 0)


def _puts_twice(arguments: Arguments) -> bool:
    """Return whether several values are written to one element of the indexed tensor."""
    indices = [index for index in arguments["indices"] if index is not None]
    masks = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
    if masks or arguments["accumulate"] or arguments["values"].numel() == 1:
        return False
    positions = torch.stack([index.flatten() for index in torch.broadcast_tensors(*indices)], 1)
    return len(positions.unique(dim=0)) < len(positions)


def _convolution(transposed: bool, dimensions: int) -> Operator:
    name = f"torch.nn.Conv{'Transpose' if transposed else ''}{dimensions}d"
    return Operator(
        name, "convolution", False,
        lambda a: a["transposed"] == transposed and a["input"].dim() == dimensions + 2,
    )  # fmt: skip


def _reduces(*reductions: str) -> Callable[[Arguments], bool]:
    return lambda arguments: arguments["reduce"] in reductions and _adds_twice(arguments)


OPERATORS = (
    *(_convolution(transposed, n) for transposed in (False, True) for n in (1, 2, 3)),
    *(
        Operator(f"torch.nn.ReplicationPad{n}d", f"replication_pad{n}d_backward", False)
        for n in (1, 2, 3)
    ),
    Operator("torch.Tensor.index_put", "index_put", False, _puts_twice),
    Operator("torch.Tensor.index_put", "_index_put_impl", False, _puts_twice),
    Operator("torch.Tensor.scatter_add_", "scatter_add", False, _adds_twice),
    Operator("torch.index_add", "index_add", False, _adds_twice),
    Operator("torch.Tensor.index_copy", "index_copy", False, _writes_twice),
    Operator("torch.Tensor.scatter", "scatter", False, _writes_twice),
    Operator("torch.Tensor.scatter_reduce", "scatter_reduce", False, _reduces("sum", "mean")),
    Operator("torch.nn.AvgPool3d", "avg_pool3d_backward", True),
    Operator("torch.nn.AdaptiveAvgPool2d", "_adaptive_avg_pool2d_backward", True),
    Operator("torch.nn.AdaptiveAvgPool3d", "_adaptive_avg_pool3d_backward", True),
    Operator("torch.nn.MaxPool3d", "max_pool3d_with_indices_backward", True),
    Operator("torch.nn.AdaptiveMaxPool2d", "adaptive_max_pool2d_backward", True),
    Operator("torch.nn.FractionalMaxPool2d", "fractional_max_pool2d_backward", True),
    Operator("torch.nn.FractionalMaxPool3d", "fractional_max_pool3d_backward", True),
    Operator("torch.nn.MaxUnpool2d", "max_unpool2d", True),
    Operator("torch.nn.MaxUnpool3d", "max_unpool3d", True),
    *(
        Operator(INTERPOLATE, f"{kernel}_backward", True)
        for kernel in (
            "upsample_linear1d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
            "_upsample_bicubic2d_aa",
        )
    ),
    # The documentation says that they raise. In fact, interpolate then calls other operators.
    *(
        Operator(INTERPOLATE, f"{kernel}_backward", False)
        for kernel in ("upsample_bilinear2d", "upsample_trilinear3d")
    ),
    *(
        Operator(f"torch.nn.ReflectionPad{n}d", f"reflection_pad{n}d_backward", True)
        for n in (1, 2, 3)
    ),
    # The loss of one class per sample repeats; that of one class per pixel adds in any order.
    Operator("torch.nn.NLLLoss", "nll_loss2d_forward", True),
    Operator("torch.nn.CTCLoss", "_ctc_loss_backward", True),
    Operator(
        "torch.nn.EmbeddingBag", "_embedding_bag_backward", True, lambda a: a["mode"] == MODE_MAX
    ),
    Operator("torch.Tensor.put_", "put", True),
    Operator("torch.histc", "histc", True),
    Operator("torch.bincount", "bincount", True, lambda a: a["weights"] is not None),
    Operator("torch.kthvalue", "kthvalue", True),
    Operator("torch.median", "median", True, lambda a: "dim" in a),
    Operator("torch.nn.functional.grid_sample", "grid_sampler_2d_backward", True),
    Operator("torch.nn.functional.grid_sample", "grid_sampler_3d_backward", True),
    Operator(
        "torch.cumsum", "cumsum", True,
        lambda a: (a["dtype"] or a["self"].dtype).is_floating_point,
    ),
    Operator("torch.Tensor.scatter_reduce", "scatter_reduce", True, _reduces("prod")),
)  # fmt: skip


@dataclass(frozen=True, order=True)
class NonDeterministicCall:
    """A line that calls an operator that is not deterministic on CUDA."""

    documented: str
    """The class or function that the documentation names."""
    place: Place
    raises: bool
    """Whether it raises under `torch.use_deterministic_algorithms(True)`. If not, it repeats."""

    def __str__(self) -> str:
        return f"{self.documented} ({self.place})"


@dataclass
class OperatorLog:
    """Finds calls of OPERATORS among those that it is told of."""

    code: UserCode
    calls: set[NonDeterministicCall] = field(default_factory=set)
    _lines: dict[int, Place | None] = field(default_factory=dict)
    """By number of a node of the graph: the line that made it."""

    def add(self, function: Any, args: Any, kwargs: Any) -> None:
        """Tell of the call of an operator, before it runs."""
        node: Any = torch._C._current_autograd_node()
        if node is None:
            # A node is made just before its operator runs. Others may follow that make none.
            number, line = _get_sequence_nr() - 1, self.code.nearest_line()
            self._lines.setdefault(number, line)
        else:
            line = self._lines.get(node._sequence_nr())
        for operator in BY_NAME.get(function.overloadpacket.__name__.rstrip("_"), ()):
            if line and operator.applies(_arguments(function, args, kwargs)):
                documented = GRADIENTS.get(node.name() if node else "", operator.documented)
                self.calls.add(NonDeterministicCall(documented, line, operator.raises))


BY_NAME: dict[str, list[Operator]] = {}
for _operator in OPERATORS:
    BY_NAME.setdefault(_operator.name, []).append(_operator)


def _arguments(function: Any, args: Any, kwargs: Any) -> Arguments:
    """Return the arguments of an operator's call by name, with defaults."""
    parameters = function._schema.arguments
    values = {p.name: p.default_value for p in parameters if p.has_default_value()}
    return values | dict(zip((p.name for p in parameters), args, strict=False)) | kwargs

"""Choose one of torch's three implementations of Adam: each is reproducible, their bits differ."""

from typing import Any

import torch
from torch import Tensor

from benchmark.common.parameters import AdamName

FUSED = ("cpu", "cuda", "mps")
"""Device types that have a fused kernel. torch's documentation says that it is usually the fastest;
this project measured that on a CPU only."""


def implementation(name: AdamName, device_type: str) -> str:
    """Return `name`, or for `auto` the fastest implementation on the device type."""
    if name != "auto":
        return name
    return "fused" if device_type in FUSED else "for-loop"


def options(name: AdamName, device_type: str) -> dict[str, Any]:
    """Return the keyword arguments with which torch's Adam uses the implementation `name`."""
    chosen = implementation(name, device_type)
    return {"fused": chosen == "fused", "foreach": chosen == "foreach"}


class Adam(torch.optim.Adam):
    """torch's Adam with the same bits, without a copy of each channels_last gradient.

    The fused CPU kernel works on memory in any order of dimensions. Nevertheless it copies each
    channels_last gradient to the default order, and does not use the copy. Contiguous views avoid
    the copy.
    """

    def _init_group(self, group: dict[str, Any], *tensors: list[Tensor]) -> Any:
        has_complex = super()._init_group(group, *tensors)
        if group["fused"] and all(parameter.device.type == "cpu" for parameter in tensors[0]):
            for same_kind in tensors[:4]:  # parameters, gradients, and both moments
                same_kind[:] = map(_contiguous_view, same_kind)
            shapes = [[tensor.shape for tensor in same_kind] for same_kind in tensors[:2]]
            assert shapes[0] == shapes[1], "a gradient has the memory format of its parameter"
        return has_complex


def _contiguous_view(tensor: Tensor) -> Tensor:
    """Return a contiguous view of a channels_last tensor, and any other tensor itself."""
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.permute(0, 2, 3, 1) if last else tensor

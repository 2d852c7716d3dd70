"""Adam's implementations in torch: which one runs.

All give the same bits each time, and each other ones.
"""

from typing import Any

import torch
from torch import Tensor

from benchmark.common.parameters import AdamName

FUSED = ("cpu", "cuda", "mps")
"""Kinds of device that have one kernel for all of Adam, as a rule the fastest by torch's
documentation; measured on a CPU alone."""


def implementation(asked: AdamName, kind: str) -> str:
    """`asked`, or for `auto` the fastest that devices of this kind have."""
    if asked != "auto":
        return asked
    return "fused" if kind in FUSED else "for-loop"


def options(asked: AdamName, kind: str) -> dict[str, Any]:
    """What torch's Adam takes for it; without them torch would choose."""
    name = implementation(asked, kind)
    return {"fused": name == "fused", "foreach": name == "foreach"}


class Adam(torch.optim.Adam):
    """torch's, to the same bits.

    Its fused kernel of CPUs works on memory, whatever order the dimensions have in it. Of each
    gradient that is channels_last it first makes a copy in the other order, which it does not
    use: it is given views that need none.
    """

    def _init_group(self, group: dict[str, Any], *tensors: list[Tensor]) -> Any:
        found = super()._init_group(group, *tensors)
        if group["fused"] and all(each.device.type == "cpu" for each in tensors[0]):
            for each in tensors[:4]:  # parameters, gradients, and both averages
                each[:] = map(_in_order_of_memory, each)
            shapes = [[tensor.shape for tensor in each] for each in tensors[:2]]
            assert shapes[0] == shapes[1], "a gradient has the memory format of its parameter"
        return found


def _in_order_of_memory(tensor: Tensor) -> Tensor:
    """A view of it that is contiguous, if it is channels_last."""
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.permute(0, 2, 3, 1) if last else tensor

"""A log of what happens on a simulated device, by lines of the user's code."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lightning_conformance.module.nondeterminism import OperatorLog
from lightning_conformance.module.user_code import Place, UserCode


@dataclass
class DeviceLog:
    """What happened on the simulated device. Each event is a place and a text."""

    code: UserCode
    owners: dict[int, str] = field(default_factory=dict)
    """By storage of a tensor on the CPU: the attribute of the module, or the part of the batch."""
    step: tuple[str, int] | None = None
    """Stage and number of the batch that is being processed; None between passes."""
    faults: dict[Place, str] = field(default_factory=dict)
    """By place: what another device does not allow."""
    waits: dict[tuple[str, int], dict[Place, str]] = field(default_factory=dict)
    """By step and place: what lets the CPU wait for the device."""
    makers: dict[int, tuple[Any, Place | None, str]] = field(default_factory=dict)
    """By storage of a tensor on the CPU: the storage, and which line made it by which function."""
    operators: OperatorLog = field(init=False)
    function: str = ""
    """The last function of torch that was called, as users write it."""

    def __post_init__(self) -> None:
        self.operators = OperatorLog(self.code)

    def fault(self, text: str) -> None:
        """Log what the line of user code that is running asks for in vain."""
        if place := self.code.nearest_line():
            self._fault(place, text)

    def wait(self) -> None:
        """Log that the running operator waits, if user code calls it in a step."""
        place = self.code.calling_line()
        if place and self.step:
            self.waits.setdefault(self.step, {}).setdefault(place, self.function)

    def made(self, tensors: list[Tensor], inputs: list[Tensor]) -> None:
        """Remember the line that makes `tensors` of the CPU, or the origin of their `inputs`."""
        origins = [origin for tensor in inputs if (origin := self._origin(tensor))]
        used = {storage_key(tensor) for tensor in inputs}
        for tensor in tensors:
            if (key := storage_key(tensor)) not in used:
                origin = origins[0] if origins else (self.code.nearest_line(), self.function)
                self.makers[key] = (tensor.untyped_storage(), *origin)

    def mixed(self, tensor: Tensor, user: str) -> None:
        """Log that the operator `user` gets this tensor of the CPU, and one of the device."""
        # What meets in the backward has met in the forward, except in a backward of the user.
        backward = torch._C._current_autograd_node() is not None
        place = self.code.calling_line() if backward else self.code.nearest_line()
        if place is None:
            return
        made_at, name = self._origin(tensor) or (None, "")
        if not name:
            self._fault(place, f"{user} gets a tensor of the CPU and one of the device")
        elif made_at is None:
            self._fault(place, f"{name} stays on the CPU, and {user} gets one of the device too")
        else:
            use = f", which line {place.line} uses" if place != made_at else ""
            if place.file != made_at.file:
                use = f", which {place} uses"
            self._fault(made_at, f"{name} makes a tensor on the CPU{use}")

    def _origin(self, tensor: Tensor) -> tuple[Place | None, str] | None:
        key = storage_key(tensor)
        if name := self.owners.get(key):
            return None, name
        if key in self.makers:
            return self.makers[key][1:]
        return None

    def _fault(self, place: Place, text: str) -> None:
        self.faults.setdefault(place, text)


def storage_key(tensor: Tensor) -> int:
    """Return a number that tensors on the same storage share."""
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else 0

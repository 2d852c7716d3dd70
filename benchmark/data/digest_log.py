"""What the model was shown, as digests: the evidence that accelerators saw the same samples."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmark.common.digests import chain

PIXEL_BATCHES = 8
"""Training batches whose pixels are digested: reading them back makes the accelerator wait."""


class DigestLog:
    """Digest chains over training batches. Plain strings, so a checkpoint can carry them."""

    def __init__(self) -> None:
        self.order: dict[int, str] = {}
        """The chain over every index so far, as it stood at the end of each epoch."""
        self.pixels = ""
        """The chain over the first batches' bytes, labels, windows and flips."""
        self.pixel_batches = 0

    @property
    def wants_pixels(self) -> bool:
        """Whether the first batches are still being digested."""
        return self.pixel_batches < PIXEL_BATCHES

    def record_order(self, epoch: int, indices: Tensor) -> None:
        """Note a batch's indices before it leaves the host."""
        previous = next(reversed(self.order.values()), "")
        self.order[epoch] = chain(previous, [epoch, indices])

    def record_pixels(self, *tensors: Tensor) -> None:
        """Note the bytes of a batch as they arrived on the device."""
        self.pixels = chain(self.pixels, tensors)
        self.pixel_batches += 1

    def state_dict(self) -> dict[str, Any]:
        """The chains, as plain values."""
        return {
            "order": dict(self.order),
            "pixels": self.pixels,
            "pixel_batches": self.pixel_batches,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the chains of `state`."""
        self.order = dict(state["order"])
        self.pixels = state["pixels"]
        self.pixel_batches = state["pixel_batches"]

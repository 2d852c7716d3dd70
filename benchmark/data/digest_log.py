"""Digests of order and pixels: evidence that accelerators trained on the same samples."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmark.common.tensor_digests import chain

PIXEL_BATCHES = 8
"""Training batches whose pixels are digested: reading them back makes the accelerator wait."""


class DigestLog:
    """Digest chains over training batches, as plain strings for checkpoints."""

    def __init__(self) -> None:
        self.order: dict[int, str] = {}
        """By epoch: the chain over all indices from the first epoch to the end of that one."""
        self.pixels = ""
        """The chain over the first batches' images, labels, windows and flips."""
        self.pixel_batches = 0
        """Number of batches in `pixels`."""

    @property
    def wants_pixels(self) -> bool:
        """Whether fewer than PIXEL_BATCHES batches are in `pixels`."""
        return self.pixel_batches < PIXEL_BATCHES

    def record_order(self, epoch: int, indices: Tensor) -> None:
        """Add a batch's indices, int64 (n,) on the host, to the chain of its epoch."""
        previous = next(reversed(self.order.values()), "")
        self.order[epoch] = chain(previous, [epoch, indices])

    def record_pixels(self, *tensors: Tensor) -> None:
        """Add a batch's tensors, as they arrived on the device, to the chain."""
        self.pixels = chain(self.pixels, tensors)
        self.pixel_batches += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the chains as plain values."""
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

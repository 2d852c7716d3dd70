"""Precisions that Lightning does not have, as its plugins."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from pytorch_lightning.plugins import Precision, XLAPrecision

from benchmark.training.precision import tf32


class TF32(Precision):
    """Weights and sums in 32 bits, products in TF32, as most users of a GPU have them."""

    def optimizer_step(self, *arguments: Any, **options: Any) -> Any:
        """Forward and backward pass, and the step."""
        with tf32(True):
            return super().optimizer_step(*arguments, **options)

    def forward_context(self) -> AbstractContextManager[None]:
        """Around each step, a validation's and a test's too."""
        return tf32(True)


class XLAMixed(XLAPrecision):
    """`bf16-mixed` as elsewhere: weights in 32 bits, and what autocast chooses in bfloat16."""

    def __init__(self) -> None:
        super().__init__("32-true")
        self.precision = "bf16-mixed"

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Around each step, and not around what makes the images."""
        with torch.autocast("xla", dtype=torch.bfloat16):
            yield

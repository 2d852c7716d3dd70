"""Float precisions: which ones an accelerator has, and Lightning plugins for TF32 and mixed XLA."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from pytorch_lightning.plugins import Precision, XLAPrecision

from benchmark.errors.user_error import UserError

PRECISIONS = {
    "cpu": ("32-true", "bf16-mixed", "bf16-true"),
    "gpu": ("32-true", "tf32", "bf16-mixed", "bf16-true", "16-mixed"),
    # Lightning's bf16-true turns every float of XLA's into bfloat16, crop windows included.
    "tpu": ("32-true", "bf16-mixed"),
    "xla": ("32-true", "bf16-mixed"),
}


def check(accelerator: str, precision: str) -> None:
    """Refuse a precision that Lightning would silently change, or that would change the pixels.

    Raises:
        UserError: the accelerator does not have `precision`.
    """
    tf32_exists = torch.cuda.is_available() and torch.cuda.is_tf32_supported()
    available = [name for name in PRECISIONS[accelerator] if name != "tf32" or tf32_exists]
    if precision not in available:
        raise UserError(
            f"precision: there is no {precision} on {accelerator}.",
            f"Choose from {', '.join(available)}, or leave {accelerator} out of accelerators.",
        )


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow TF32 (10 bits of mantissa) in float32 products and convolutions within the block.

    A block is one step, so that the images are computed in full float32.
    """
    if not allowed:
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def plugin(accelerator: str, precision: str) -> Precision | None:
    """The plugin for a precision that Lightning does not have; None for Lightning's own."""
    if precision == "tf32":
        return TF32()
    if accelerator in ("tpu", "xla") and precision == "bf16-mixed":
        return XLAMixed()
    return None


class TF32(Precision):
    """Weights and sums in float32, products in TF32, as many users of a GPU choose."""

    def optimizer_step(self, *arguments: Any, **options: Any) -> Any:
        """Run the forward and backward pass and the step."""
        with tf32(True):
            return super().optimizer_step(*arguments, **options)

    def forward_context(self) -> AbstractContextManager[None]:
        """The context of each step, of validation and test too."""
        return tf32(True)


class XLAMixed(XLAPrecision):
    """`bf16-mixed` on XLA: weights in float32, and what autocast chooses in bfloat16."""

    def __init__(self) -> None:
        super().__init__("32-true")
        self.precision = "bf16-mixed"

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """The context of each step. Images are made outside of it."""
        with torch.autocast("xla", dtype=torch.bfloat16):
            yield

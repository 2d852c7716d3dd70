"""Check the precision of an accelerator; Lightning plugins for TF32 and mixed XLA."""

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
    """Raise if Lightning would silently change `precision`, or if it would change the pixels.

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

    Use one block per step: images are computed outside, in full float32. The previous settings
    are restored at the end. If not `allowed`, nothing changes.
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
    """Return the plugin for a precision that Lightning lacks; None for Lightning's own ones."""
    if precision == "tf32":
        return TF32()
    if accelerator in ("tpu", "xla") and precision == "bf16-mixed":
        return XLAMixed()
    return None


class TF32(Precision):
    """Plugin for float32 weights and sums, and products in TF32."""

    def optimizer_step(self, *arguments: Any, **options: Any) -> Any:
        """Run the forward and backward pass and the optimizer's step with TF32."""
        with tf32(True):
            return super().optimizer_step(*arguments, **options)

    def forward_context(self) -> AbstractContextManager[None]:
        """Return the context in which Lightning runs each training, validation or test step."""
        return tf32(True)


class XLAMixed(XLAPrecision):
    """Plugin for `bf16-mixed` on XLA: float32 weights; autocast chooses what is in bfloat16."""

    def __init__(self) -> None:
        super().__init__("32-true")
        self.precision = "bf16-mixed"

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Run a step of the model in autocast. Images are computed outside, in float32."""
        with torch.autocast("xla", dtype=torch.bfloat16):
            yield

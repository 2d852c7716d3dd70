"""Precisions: which of them an accelerator has, and how TF32 is allowed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmark.errors.user_error import UserError

PRECISIONS = {
    "cpu": ("32-true", "bf16-mixed", "bf16-true"),
    "gpu": ("32-true", "tf32", "bf16-mixed", "bf16-true", "16-mixed"),
    # Lightning's bf16-true turns every float of XLA's into bfloat16, crop windows included.
    "tpu": ("32-true", "bf16-mixed"),
    "xla": ("32-true", "bf16-mixed"),
}


def check(name: str, precision: str) -> None:
    """Refuse what Lightning would change without asking, or what would change the pixels.

    Raises:
        UserError: `precision` does not exist on the accelerator `name`.
    """
    known = [each for each in PRECISIONS[name] if each != "tf32" or _has_tf32()]
    if precision not in known:
        raise UserError(
            f"precision: there is no {precision} on {name}.",
            f"Choose from {', '.join(known)}, or leave {name} out of accelerators.",
        )


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within it, float32 products and convolutions may be computed with ten bits after the point:
    around a step alone, so that the images stay what they are elsewhere."""
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


def _has_tf32() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_tf32_supported()

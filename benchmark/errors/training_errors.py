"""Errors of a device while it trains, as one line: too little memory, or a failed accelerator."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmark.errors.user_error import UserError

OUT_OF_MEMORY = (
    "MemoryError", "out of memory", "can't allocate memory", "not enough memory",
    "RESOURCE_EXHAUSTED", "STATUS_ALLOC_FAILED",
)  # fmt: skip
"""Text by which the allocators of torch, CUDA and XLA report a lack of memory."""
NOT_DETERMINISTIC = "does not have a deterministic implementation"
"""Text by which torch refuses an operation where only deterministic kernels may run."""

NOT_RECORDED = "skipping cudagraph", "disabling cudagraph"
"""Text by which torch says that it does not record a CUDA graph."""


def is_out_of_memory(message: str) -> bool:
    """Return whether an error reports a lack of memory; `message` begins with the error's type."""
    return any(sign in message for sign in OUT_OF_MEMORY)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message; the error's type if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def is_compile_error(error: Exception) -> bool:
    """Return whether torch.compile could not compile a network or record its CUDA graphs."""
    dynamo = sys.modules.get("torch._dynamo.exc")
    failed = dynamo is not None and isinstance(error, dynamo.TorchDynamoException)
    return failed or any(sign in str(error) for sign in NOT_RECORDED)


@contextmanager
def explain_training_errors(
    title: str, batch_size: int, position: Callable[[], str]
) -> Iterator[None]:
    """Turn errors of the device into UserErrors while a `with` block runs.

    Args:
        title: name of the training; the message begins with it.
        batch_size: samples per step; the message names it if memory ran out.
        position: returns text on the training's progress, for example "in the test".

    Raises:
        UserError: there is too little memory, an operation has no deterministic kernel, or the
            accelerator has failed.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        import torch  # here, because importing torch takes seconds

        if is_out_of_memory(f"{type(error).__name__}: {error}"):
            raise UserError(
                f"{title}: out of memory with data.batch_size = {batch_size} "
                f"({first_line(error)}).",
                "Lower it.",
            ) from error
        message = first_line(error)
        if NOT_DETERMINISTIC in message:
            raise UserError(
                f"{title}: {message.split(',')[0]}.",
                "Choose another model.architecture or accelerator.",
            ) from error
        if is_compile_error(error):
            raise UserError(
                f"{title}: torch.compile failed ({first_line(error)}).",
                "Set model.compile to false.",
            ) from error
        if not isinstance(error, torch.AcceleratorError):
            raise
        raise UserError(
            f"{title} failed {position()} ({first_line(error)}).",
            "Repeat it: a training resumes after its last complete epoch.",
        ) from error

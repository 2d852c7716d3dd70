"""What ends a fit on an accelerator, in words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmark.errors.memory import is_out_of_memory, reason
from benchmark.errors.user_error import UserError


@contextmanager
def explain_failures(title: str, batch_size: int, place: Callable[[], str]) -> Iterator[None]:
    """Makes a UserError of what a fit cannot mend.

    Args:
        title: names the run.
        batch_size: what a lack of memory is blamed on.
        place: where the run is, in words.

    Raises:
        UserError: there is too little memory, or the accelerator itself has failed.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        why = reason(error)
        if is_out_of_memory(f"{type(error).__name__}: {error}"):
            raise UserError(
                f"{title}: out of memory with data.batch_size = {batch_size} ({why}).", "Lower it."
            ) from error
        if not isinstance(error, torch.AcceleratorError):
            raise
        raise UserError(
            f"{title} failed {place()} ({why}).",
            "Repeat it: a training goes on after its last whole epoch.",
        ) from error

"""What ends loader processes, in words for who can mend it; torch names neither cause nor key."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader

from benchmark.common.errors import UserError

LOADER_ERRORS = {
    "Bus error": (
        "A loader process found no room in /dev/shm.",
        "Enlarge it (docker run --shm-size=1g), or set data.num_workers = 0.",
    ),
    "DataLoader timed out": (
        "The loader processes gave no batch for minutes.",
        "Set data.num_workers = 0 to see where they wait.",
    ),
}
"""By what torch's error says."""


def blame(error: BaseException, loader: DataLoader[Any], where: Callable[[int], str]) -> None:
    """Names the process of a loader with persistent ones that died, or that gave no batch in time.

    Args:
        error: what the loader ended with.
        where: what process `number` was at, in words.

    Raises:
        UserError: there is one; none where the error is of another kind.
    """
    running: Any = loader._iterator
    workers = getattr(running, "_workers", [])
    for number, worker in enumerate(workers):
        if worker.exitcode and worker.exitcode != -signal.SIGBUS:  # which is explained below
            raise UserError(
                f"Loader process {number + 1} of {len(workers)} {_end(worker.exitcode)}"
                f"{where(number)}.",
                "Look at that batch's images and at the memory, or set data.num_workers = 0.",
            ) from error
    if workers and "DataLoader timed out" in str(error) and running._rcvd_idx in running._task_info:
        number = running._task_info[running._rcvd_idx][0]  # whose batch is the next
        raise UserError(
            f"Loader process {number + 1} of {len(workers)} gave no batch for "
            f"{loader.timeout:g} s{where(number)}.",
            "Look at that batch's images, or set data.num_workers = 0 to see where it waits.",
        ) from error


def _end(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


@contextmanager
def explain_loader_errors() -> Iterator[None]:
    """Makes a UserError of what loader processes cannot say for themselves.

    Raises:
        UserError: they were killed for a lack of shared memory, or gave no batch for too long.
    """
    try:
        yield
    except RuntimeError as error:
        for sign, (what, remedy) in LOADER_ERRORS.items():
            if sign in str(error):
                raise UserError(what, remedy) from error
        raise

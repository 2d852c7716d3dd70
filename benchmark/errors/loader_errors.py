"""What ends loader processes, in words for who can mend it; torch names neither cause nor key."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmark.errors.user_error import UserError

if TYPE_CHECKING:  # the command line loads this, and torch takes seconds
    from torch.utils.data import DataLoader

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


def fault(
    error: BaseException, loader: "DataLoader[Any]", where: Callable[[int], str]
) -> UserError | None:
    """Names the process of a loader with persistent ones that died, or that gave no batch in time;
    None where there is none.

    Args:
        error: what the loader ended with.
        where: what process `number` was at, in words.
    """
    running: Any = loader._iterator
    workers = getattr(running, "_workers", [])
    found = _found(error, running, workers)
    if found is None:
        return None
    number, what = found
    return UserError(
        f"Loader process {number + 1} of {len(workers)} {what}{where(number)}.",
        "Look at that batch's images and at the memory, or set data.num_workers = 0.",
    )


def notice_deaths() -> None:
    """Have the next loader's processes be missed at once if they die. torch sets its handler of
    SIGCHLD once, and Lightning takes away what was set during a fit; a loader would wait for the
    dead as long as for those that hang."""
    from torch.utils.data._utils import signal_handling

    if signal.getsignal(signal.SIGCHLD) in (signal.SIG_DFL, None):
        signal_handling._SIGCHLD_handler_set = False


def end(loader: "DataLoader[Any]") -> None:
    """End its persistent processes; one that hangs would keep this one from ending."""
    running: Any = loader._iterator
    if hasattr(running, "_workers"):
        running._shutdown_workers()


def _found(error: BaseException, running: Any, workers: Sequence[Any]) -> tuple[int, str] | None:
    """Whose fault it is, and what it is."""
    for number, worker in enumerate(workers):
        if worker.exitcode and worker.exitcode != -signal.SIGBUS:  # which is explained below
            return number, _end(worker.exitcode)
    if workers and "DataLoader timed out" in str(error) and running._rcvd_idx in running._task_info:
        owing = running._task_info[running._rcvd_idx][0]  # the next batch
        return owing, f"gave no batch for {running._timeout:g} s"
    return None


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

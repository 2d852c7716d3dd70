"""Errors of DataLoader workers, with the cause and the parameter to change, which torch omits."""

import errno
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from benchmark.errors.user_error import REMEDIES, UserError

if TYPE_CHECKING:  # the command line loads this, and torch takes seconds
    from torch.utils.data import DataLoader

LOADER_ERRORS = {
    "Bus error": (
        "A loader process had too little space in /dev/shm.",
        "Enlarge it (docker run --shm-size=1g), or set data.num_workers = 0.",
    ),
    "DataLoader timed out": (
        "The loader processes gave no batch for minutes.",
        "Set data.num_workers = 0 to see where they wait.",
    ),
    "Too many open files": (
        "Loader processes need more open files than the limit allows.",
        REMEDIES[errno.EMFILE],
    ),
    "received 0 items of ancdata": (  # no file was free for the tensor that a worker sent
        "Loader processes need more open files than the limit allows.",
        REMEDIES[errno.EMFILE],
    ),
}
"""Description and remedy of each error; the key is a part of torch's message."""


def worker_error(
    error: BaseException, loader: "DataLoader[Any]", position: Callable[[int], str]
) -> UserError | None:
    """Return the error to raise instead of `error`, which iterating over `loader` raised.

    It names the persistent worker that died or gave no batch in time. `position` returns the end of
    the message: the batch that a worker, by its number, was loading. Return None if all workers run
    and none timed out.
    """
    iterator: Any = loader._iterator
    workers = getattr(iterator, "_workers", [])
    failure = _failed_worker(error, iterator, workers)
    if failure is None:
        return None
    number, what = failure
    return UserError(
        f"Loader process {number + 1} of {len(workers)} {what}{position(number)}.",
        "Look at that batch's images and at the memory, or set data.num_workers = 0.",
    )


def rearm_sigchld() -> None:
    """Let torch install its SIGCHLD handler again when the next DataLoader starts workers.

    With the handler, torch reports a dead worker at once, and not after the loader's timeout.
    torch installs it once per process, and Lightning removes it after a fit.
    """
    from torch.utils.data._utils import signal_handling

    if signal.getsignal(signal.SIGCHLD) in (signal.SIG_DFL, None):
        signal_handling._SIGCHLD_handler_set = False


def ignore_lost_receiver(worker: int = 0) -> None:
    """Initialise a worker so that it prints no traceback if its DataLoader ends during a transfer.

    A signal may end the training while it receives a batch. Then the worker's thread that sends
    tensors loses its connection, and multiprocessing passes that error to `sys.excepthook`.
    """
    report = sys.excepthook

    def report_others(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, EOFError | ConnectionError):
            report(kind, error, traceback)

    sys.excepthook = report_others


def shut_down_workers(loader: "DataLoader[Any]") -> None:
    """End a loader's persistent workers, since a worker that hangs keeps this process running.

    Do nothing if the loader has no running workers.
    """
    iterator: Any = loader._iterator
    if hasattr(iterator, "_workers"):
        iterator._shutdown_workers()


def _failed_worker(
    error: BaseException, iterator: Any, workers: Sequence[Any]
) -> tuple[int, str] | None:
    """Return the number of the first failed worker and a text on its failure; None if none failed.

    If torch reports a timeout, the failed worker is the one whose batch comes next.
    """
    for number, worker in enumerate(workers):
        status = worker.exitcode
        if status and status != -signal.SIGBUS:  # explain_loader_errors explains SIGBUS
            if status < 0:
                return number, f"was ended by {signal.Signals(-status).name}"
            return number, f"ended with status {status}"
    if workers and "DataLoader timed out" in str(error):
        next_batch = iterator._task_info.get(iterator._rcvd_idx)
        if next_batch:
            return next_batch[0], f"gave no batch for {iterator._timeout:g} s"
    return None


@contextmanager
def explain_loader_errors() -> Iterator[None]:
    """Turn torch's errors about DataLoader workers into UserErrors while a `with` block runs.

    Raises:
        UserError: workers had too little shared memory, too few open files, or gave no batch for
            too long.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # this process's own error; a worker's has lost its number
        for sign, (what, remedy) in LOADER_ERRORS.items():
            if sign in str(error):
                raise UserError(what, remedy) from error
        raise

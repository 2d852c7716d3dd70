"""Start the ranks of one machine with PyTorch's launcher (torchelastic, as in `torchrun`)."""

import logging
import os
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil

from benchmark.common.parameters import TrainerParameters
from benchmark.errors.user_error import UserError
from benchmark.machine.processors import processor_count

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
    from torch.distributed.launcher.api import LaunchConfig

MODULE = "benchmark"
"""Module that each rank runs with `python -m`."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
LOST = re.compile("[Cc]onnection (closed by peer|reset|refused)|Broken pipe")
"""Matches gloo's message when another rank has ended; then that rank's error is the cause."""
RESUMES = "Repeat it: it resumes after its last complete epoch."
GRACE = 5.0
"""Seconds for which a rank that lost its connection waits until the launcher ends it."""


def launch(arguments: Sequence[str], trainer: TrainerParameters) -> None:
    """Run `python -m benchmark <arguments>` in one process per device and wait until all end.

    Raises:
        UserError: `trainer` has several machines, and this one cannot start the others' processes.
            The message contains the command to run on each. Or as in `run`.
    """
    if trainer.num_nodes > 1:
        raise UserError(
            f"trainer.num_nodes = {trainer.num_nodes}: this machine cannot start the others.",
            f"Run on each of them: .venv/bin/torchrun --nnodes {trainer.num_nodes} "
            f"--nproc-per-node {trainer.devices} --node-rank NUMBER --master-addr FIRST_MACHINE "
            f"-m {MODULE} {' '.join(arguments)}",
        )
    run(["-m", MODULE, *arguments], trainer.devices, RESUMES)


def run(arguments: Sequence[str], devices: int, remedy: str = "Repeat it.") -> None:
    """Run `python <arguments>` in one process (rank) per device and wait until all end.

    Set this process's OMP_NUM_THREADS and GLOO_SOCKET_IFNAME for the ranks, if they are not set.

    Args:
        arguments: Python's command line arguments, equal for all ranks.
        devices: number of ranks.
        remedy: end of the message if a rank was killed.

    Raises:
        UserError: a rank failed (its message) or was killed.
        SystemExit: the launcher received a signal; the status is 128 + the signal's number.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    # Reported below. Each of its modules sets its own level, so a level here would not count.
    logger = logging.getLogger("torch.distributed.elastic")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processor_count() // devices)))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as directory:
        try:
            config = _config(devices, directory)
            elastic_launch(config, sys.executable)(*arguments)
        except ChildFailedError as error:
            raise _first_failure(error, remedy) from None
        except SignalException as error:
            print(f"Ended by {error.sigval.name}.", file=sys.stderr, flush=True)
            raise SystemExit(128 + error.sigval) from None


def signal_tree(pid: int, number: int) -> None:
    """Send signal `number` to the process `pid`, then to all its descendants.

    A signal to the launcher's process group does not reach the ranks, since torchelastic starts
    each rank in a new session. Processes that have ended are skipped.
    """
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)


@contextmanager
def report_errors_to_launcher() -> Iterator[None]:
    """Write a rank's exception to the launcher's error file, then end the rank with status 1.

    The launcher reports one error for all ranks. Without a launcher, the exception passes
    unchanged. Under a launcher, exceptions other than UserErrors and lost connections pass too,
    after they were written.
    """
    try:
        yield
    except Exception as error:
        if ERROR_FILE not in os.environ:
            raise
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)
        if LOST.search(str(error)):
            time.sleep(GRACE)
        elif not isinstance(error, UserError):
            raise
        raise SystemExit(1) from None


def _config(devices: int, directory: str) -> "LaunchConfig":
    """Return the launcher's configuration: one machine, no restarts, logs in `directory`."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,  # the user repeats the command, which resumes
        logs_specs=DefaultLogsSpecs(log_dir=directory),
    )


def _first_failure(error: "ChildFailedError", remedy: str) -> UserError:
    """Return an error with the first failure that was not caused by another rank's end."""
    failures = [(rank, _message(failure, remedy)) for rank, failure in error.failures.items()]
    rank, message = min(failures, key=lambda failure: bool(LOST.search(failure[1])))
    return UserError(f"Rank {rank}:", message)


def _message(failure: "ProcessFailure", remedy: str) -> str:
    """Return the message that a rank reported, or the signal or exit status that ended it."""
    message = failure.error_file_data["message"]
    if isinstance(message, dict):
        return str(message["message"]).removeprefix(f"{UserError.__name__}: ")
    if failure.exitcode < 0:
        return f"ended by {failure.signal_name()}. {remedy}"
    return f"ended with status {failure.exitcode}."

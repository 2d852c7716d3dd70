"""PyTorch's launcher (torchelastic, which `torchrun` runs), for the ranks of one machine."""

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
"""Message of gloo when another rank has ended; that rank's error is the reason."""
RESUMES = "Repeat it: it resumes after its last complete epoch."
GRACE = 5.0
"""Seconds that a rank which lost another one waits to be ended by the launcher."""


def launch(arguments: Sequence[str], trainer: TrainerParameters) -> None:
    """Run `python -m benchmark <arguments>` once for each device and wait for the end.

    Raises:
        UserError: `trainer` has several machines, which this one cannot start; or as in `run`.
    """
    if trainer.num_nodes > 1:
        raise UserError(
            f"trainer.num_nodes = {trainer.num_nodes}: this machine cannot start the others.",
            f"Run on each of them: {_torchrun(arguments, trainer)}",
        )
    run(["-m", MODULE, *arguments], trainer.devices, RESUMES)


def run(arguments: Sequence[str], devices: int, remedy: str = "Repeat it.") -> None:
    """Run Python with `arguments` once for each device and wait for the end.

    Raises:
        UserError: a rank failed (its own message) or was killed (with `remedy`).
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # reported below
    _set_defaults(devices)
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
    """Send signal `number` to a process and all its descendants, the process first.

    A signal to the launcher's process group reaches no rank: torchelastic starts each rank in a
    session of its own. Processes that have ended are skipped.
    """
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)


@contextmanager
def report_errors_to_launcher() -> Iterator[None]:
    """Give a rank's error to the launcher, which reports one error for all ranks."""
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
        max_restarts=0,  # the user repeats it, and it resumes
        logs_specs=DefaultLogsSpecs(log_dir=directory),
    )


def _set_defaults(devices: int) -> None:
    """Set the variables of ranks on one machine: a share of its processors, and no network."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processor_count() // devices)))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def _first_failure(error: "ChildFailedError", remedy: str) -> UserError:
    """Return the first failure that does not follow from another rank's."""
    failures = [(rank, _message(failure, remedy)) for rank, failure in error.failures.items()]
    rank, message = min(failures, key=lambda failure: bool(LOST.search(failure[1])))
    return UserError(f"Rank {rank}:", message)


def _message(failure: "ProcessFailure", remedy: str) -> str:
    """Return a rank's own message, or the signal or status that it ended with."""
    message = failure.error_file_data["message"]
    if isinstance(message, dict):
        return str(message["message"]).removeprefix(f"{UserError.__name__}: ")
    if failure.exitcode < 0:
        return f"ended by {failure.signal_name()}. {remedy}"
    return f"ended with status {failure.exitcode}."


def _torchrun(arguments: Sequence[str], trainer: TrainerParameters) -> str:
    return (
        f".venv/bin/torchrun --nnodes {trainer.num_nodes} --nproc-per-node {trainer.devices} "
        f"--node-rank NUMBER --master-addr FIRST_MACHINE -m {MODULE} {' '.join(arguments)}"
    )

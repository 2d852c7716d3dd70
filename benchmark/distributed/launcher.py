"""PyTorch's launcher (what `torchrun` runs), for the ranks of one machine."""

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
from benchmark.machine.processors import cores

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
    from torch.distributed.launcher.api import LaunchConfig

MODULE = "benchmark"
"""What each rank runs, as `python -m`."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
LOST = re.compile("[Cc]onnection (closed by peer|reset|refused)|Broken pipe")
"""What gloo says where another rank is gone: that one knows the reason."""
RESUMES = "Repeat it: it goes on after a whole epoch."
GRACE = 5.0
"""Seconds in which the launcher ends whoever has lost another rank."""


def launch(arguments: Sequence[str], trainer: TrainerParameters) -> None:
    """Run `python -m benchmark <arguments>` once for each device and wait for the end.

    Raises:
        UserError: there are other machines, which cannot be reached from here; or as `run`.
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
        UserError: a rank has failed, in its own words, or was killed, with `remedy`.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # said below
    _set_defaults(devices)
    with tempfile.TemporaryDirectory() as directory:
        try:
            config = _config(devices, directory)
            elastic_launch(config, sys.executable)(*arguments)
        except ChildFailedError as error:
            raise _explained(error, remedy) from None
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
    """Of a rank: leave what ends it to the launcher, which says it once for all ranks."""
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
        max_restarts=0,  # a repetition goes on after the last whole epoch
        logs_specs=DefaultLogsSpecs(log_dir=directory),
    )


def _set_defaults(devices: int) -> None:
    """What the ranks of one machine share: its processors, and no network."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // devices)))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def _explained(error: "ChildFailedError", remedy: str) -> UserError:
    """The first failure that is not another's consequence."""
    failures = [(rank, _words(failure, remedy)) for rank, failure in error.failures.items()]
    rank, words = min(failures, key=lambda failure: bool(LOST.search(failure[1])))
    return UserError(f"Rank {rank}:", words)


def _words(failure: "ProcessFailure", remedy: str) -> str:
    """What a rank has left, or by which signal it was ended."""
    found = failure.error_file_data["message"]
    if isinstance(found, dict):
        return str(found["message"]).removeprefix(f"{UserError.__name__}: ")
    if failure.exitcode < 0:
        return f"ended by {failure.signal_name()}. {remedy}"
    return f"ended with status {failure.exitcode}."


def _torchrun(arguments: Sequence[str], trainer: TrainerParameters) -> str:
    return (
        f".venv/bin/torchrun --nnodes {trainer.num_nodes} --nproc-per-node {trainer.devices} "
        f"--node-rank NUMBER --master-addr FIRST_MACHINE -m {MODULE} {' '.join(arguments)}"
    )

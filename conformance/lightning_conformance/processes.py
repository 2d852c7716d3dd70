"""Run scenarios in new processes, one per rank, which multiprocessing's fork server starts.

The fork server imports torch and Lightning once for all of them. It starts with another
PYTHONHASHSEED than this process has, so its processes hash strings differently.
"""

import contextlib
import os
import pickle
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_start_method, set_start_method
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from lightning_conformance import fork_server, signals
from lightning_conformance.scenario import observe

TIMEOUT = 600.0
"""Seconds after which the processes of a scenario are killed."""
GRACE = 5.0
"""Seconds to wait for other ranks after the first failure, since these may show its cause."""
PEER_ERRORS = ("Connection closed by peer", "Connection reset by peer")
"""Error texts of a rank whose peer has ended. They do not name the cause."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def observe_in_processes(
    source: Any, scenario: Any, observe: Callable[[Any, Any], Any] = observe
) -> list[Any]:
    """Run a scenario in new processes, one per rank, and return each rank's observation.

    Each process calls `observe(source, scenario)`, by default for a DataModule's Scenario.

    Raises:
        RuntimeError: a process failed or hangs; the text contains the last line of its output.
    """
    hash_seed = getattr(scenario, "hash_seed", "")
    context = fork_server.context(hash_seed)
    task = pickle.dumps((observe, source, scenario))
    ddp = _ddp_environment(scenario.ranks)
    surroundings = dict(os.environ), os.getcwd(), sys.path, get_start_method(allow_none=True)
    with tempfile.TemporaryDirectory() as name:
        folder, processes = Path(name), []
        try:
            for rank in range(scenario.ranks):
                arguments = rank, folder, ddp, *surroundings, task
                processes.append(context.Process(target=_run_rank, args=arguments))
                with fork_server.environment(hash_seed):
                    processes[-1].start()
            _wait(processes, folder)
        finally:
            for process in filter(lambda process: process.pid, processes):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.join()
        paths = [folder / f"observation-{rank}" for rank in range(scenario.ranks)]
        return [pickle.loads(path.read_bytes()) for path in paths]


def _run_rank(
    rank: int,
    folder: Path,
    ddp: dict[str, str],
    environment: dict[str, str],
    directory: str,
    path: list[str],
    start_method: str | None,
    task: bytes,
) -> None:
    """In the new process: run the scenario, and write the observation to `folder`.

    The process takes over environment, working directory, `sys.path` and multiprocessing's start
    method of the parent, and joins the DDP group of `ddp`. Its output goes to a file in `folder`.
    """
    # Else the workers of its loaders would come from a fork server that imports torch once more.
    set_start_method(start_method, force=True)
    os.setpgrp()
    signals.die_by_signals()  # Lightning lets a process that gets SIGTERM in a fit exit with 0
    output = os.open(folder / f"output-{rank}", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    # torchrun's variables would make torch look for the store that torchrun keeps.
    inherited = {n: text for n, text in environment.items() if not n.startswith("TORCHELASTIC_")}
    hash_seed = {fork_server.HASH_SEED: os.environ[fork_server.HASH_SEED]}
    local_rank = {"LOCAL_RANK": str(rank)} if ddp else {}
    os.environ.clear()
    os.environ.update(inherited | ddp | local_rank | hash_seed)
    tempfile.tempdir = None  # the fork server has cached its own
    # Lightning reads it from the environment on import, which happened in the fork server.
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    os.chdir(directory)
    sys.path[:] = path
    observe, source, scenario = pickle.loads(task)  # not an argument, because it needs `sys.path`
    try:
        observation = observe(source, scenario)
    except SystemExit as error:  # a hook's exit with 0 is not a success either
        raise RuntimeError(f"SystemExit: {error}") from error
    (folder / f"observation-{rank}").write_bytes(pickle.dumps(observation))


def _wait(processes: list[BaseProcess], folder: Path) -> None:
    """Wait until all processes have ended.

    Raises:
        RuntimeError: a process has failed (its peers may hang), or TIMEOUT is over.
        KeyboardInterrupt: SIGINT or SIGTERM ended a process, and so the kit.
    """
    deadline = time.monotonic() + TIMEOUT
    running: dict[Any, BaseProcess] = {process.sentinel: process for process in processes}
    while running:
        ended = wait(list(running), max(0.0, deadline - time.monotonic()))
        if not ended:
            raise RuntimeError(f"not finished after {TIMEOUT:g} s")
        for sentinel in ended:
            process = running.pop(sentinel)
            process.join()
            if -(process.exitcode or 0) in signals.SIGNALS:
                signals.end(-(process.exitcode or 0))
        if any(process.exitcode for process in processes):
            if running:
                wait(list(running), GRACE)  # the first to fail may have lost its peer
            codes = [process.exitcode for process in processes]
            failures = [_failure(n, code, folder) for n, code in enumerate(codes) if code]
            raise RuntimeError("; ".join(without_peer_errors(failures)))


def without_peer_errors(failures: list[str]) -> list[str]:
    """Return the texts without PEER_ERRORS, as their cause is on another rank; or all texts."""
    return [text for text in failures if not any(e in text for e in PEER_ERRORS)] or failures


def _failure(rank: int, exit_code: int, folder: Path) -> str:
    """Describe a rank's failure by the last error in its output, or else by the last line."""
    output = folder / f"output-{rank}"
    text = output.read_text(errors="replace") if output.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error: " in line]
    last = (errors or lines or ["no message"])[-1].strip()
    return f"rank {rank} ended with exit code {exit_code}: {last}"


def _ddp_environment(ranks: int) -> dict[str, str]:
    """Return the variables with which Lightning's DDP joins `ranks` processes; {} for one rank."""
    if ranks == 1:
        return {}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    return {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0",
        "WORLD_SIZE": str(ranks), "GLOO_SOCKET_IFNAME": LOOPBACK,
    }  # fmt: skip

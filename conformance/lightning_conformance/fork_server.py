"""The fork server that starts the kit's processes."""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver, util
from types import ModuleType
from typing import Any
from unittest.mock import patch

START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
"""On macOS, system libraries may not survive a fork, so each process imports everything."""
HASH_SEED = "PYTHONHASHSEED"
MAX_TEMPORARY_PATH = 70
"""Longest path of a temporary directory, in bytes, in which multiprocessing can create sockets.

With a longer path, which clusters may have, workers hang.
"""


def context(hash_seed: str = "") -> Any:
    """Return multiprocessing's context for new processes.

    Processes with a `hash_seed` of their own are new interpreters, which takes seconds.
    """
    made = multiprocessing.get_context("spawn" if hash_seed else START_METHOD)
    made.set_forkserver_preload(["lightning_conformance.preload"])
    return made


@contextlib.contextmanager
def running(at_once: bool) -> Iterator[None]:
    """Kill the fork server after the block, unless it ran before.

    `at_once` starts it now: it imports torch and Lightning while this process goes on.
    """
    server: Any = forkserver._forkserver
    before = server._forkserver_pid
    if at_once and START_METHOD == "forkserver":
        shorten_socket_paths()
        context()
        with environment():
            forkserver.ensure_running()
    try:
        yield
    finally:
        # It would end by itself, but first it would finish its imports, and then free all modules.
        if server._forkserver_pid not in (None, before):
            os.kill(server._forkserver_pid, signal.SIGKILL)


@contextlib.contextmanager
def environment(hash_seed: str = "") -> Iterator[None]:
    """Let processes that start in the block have this `sys.path` and another PYTHONHASHSEED.

    `hash_seed` is used by new interpreters only; the fork server keeps the one with which it began.
    They do not run the caller's script again.
    """
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        HASH_SEED: hash_seed or ("2" if os.environ.get(HASH_SEED) == "1" else "1"),
    }
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        with patch.dict(os.environ, variables):
            yield
    finally:
        sys.modules["__main__"] = main


def shorten_socket_paths() -> None:
    """Let multiprocessing create its sockets in /tmp if the temporary directory's path is long."""
    if len(os.fsencode(tempfile.gettempdir())) > MAX_TEMPORARY_PATH:
        with patch.object(tempfile, "tempdir", "/tmp"):
            util.get_temp_dir()  # creates the directory for the life of this process

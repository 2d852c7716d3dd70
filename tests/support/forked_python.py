"""Stands in for `python` in tests that start processes: forked from one that has loaded torch and
Lightning, which would take each of them seconds.

`python()` is the path of a program that takes `-m MODULE`, `-c PROGRAM` or the path of a script,
and arguments, as Python does. Standard streams, environment, directory, process group and exit
status are those of whoever starts it; SIGINT and SIGTERM reach the forked process, and it ends with
what was started. Where texts are to be hashed otherwise, it is Python itself. `sys.executable` is
for tests of Python's own start, of children and of what else belongs to one process alone.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import psutil

SHARED = "FORKED_PYTHON"
"""The variable that holds the path of a stand-in which others may use."""
LOADED = ("torch", "torchvision", "pytorch_lightning", "scipy.stats", "dvc.cli")
"""None of this project's: a process may bring its own."""
LOADING_SECONDS = 120
"""Most that loading these takes."""
CLIENT = """
import json, os, signal, socket, sys

server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect(sys.argv[1])
task = {
    "arguments": sys.argv[2:], "environment": dict(os.environ), "directory": os.getcwd(),
    "group": os.getpgid(0), "session": os.getsid(0),
}
socket.send_fds(server, [json.dumps(task).encode()], [0, 1, 2])
pid = int(server.recv(32))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(pid, number))
status = int(server.recv(32))
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def python() -> str:
    """The path of the stand-in; Python itself where processes cannot be forked so."""
    return str(server()[0]) if sys.platform == "linux" else sys.executable


def forked() -> list[psutil.Process]:
    """What runs in place of those that this process has started by `python()`."""
    return psutil.Process(server()[2]).children()


@cache
def server() -> "tuple[Path, subprocess.Popen[bytes], int]":
    """The stand-in, what was started for it, and the number of the process that forks."""
    path, process = start_server(shared() or sys.executable)
    assert process.stdout
    ready, number = process.stdout.readline().split()
    assert ready == b"ready"
    return path, process, int(number)


def share() -> "subprocess.Popen[bytes]":
    """Begin to load torch once for all processes that this one starts, each of which forks a server
    of its own; they wait for it where they need it."""
    path, process = start_server(sys.executable, {"OMP_NUM_THREADS": "1"})
    os.environ[SHARED] = str(path)
    return process


def shared() -> str | None:
    """The stand-in that was shared with this process, once it is ready."""
    path, end = os.environ.get(SHARED), time.monotonic() + LOADING_SECONDS
    while path and not os.access(path, os.X_OK):
        assert time.monotonic() < end, "the shared server has failed, see above"
        time.sleep(0.05)
    return path


def start_server(
    own: str, settings: Mapping[str, str] | None = None
) -> "tuple[Path, subprocess.Popen[bytes]]":
    """Where its stand-in will be. It ends with its standard input: with this process."""
    folder = Path(tempfile.mkdtemp(prefix="python-"))
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [own, "-P", __file__, str(folder), sys.executable], env=variables | (settings or {}),
        process_group=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    return folder / "python", process


def serve(folder: Path, itself: str) -> dict[str, Any]:
    """Fork a process for each client; returns in these, with what they are to do."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(folder / "socket"))
    listener.listen(64)
    events = selectors.DefaultSelector()
    events.register(listener, selectors.EVENT_READ)
    events.register(0, selectors.EVENT_READ)
    write_client(folder, itself)
    print("ready", os.getpid(), flush=True)
    while True:
        for key, _ in events.select():
            if key.fileobj == 0:
                os._exit(0)
            if key.fileobj is listener:
                if task := accept(listener.accept()[0], events):
                    return task
            elif key.fd in events.get_map():  # not the other end of one that has just ended
                end(key, events)


def write_client(folder: Path, itself: str) -> None:
    (folder / "client.py").write_text(CLIENT)
    itself = shlex.quote(itself)
    words = ["-I", "-S", str(folder / "client.py"), str(folder / "socket")]
    seed = shlex.quote(os.environ.get("PYTHONHASHSEED", ""))
    (folder / "python").write_text(
        f'#!/bin/sh\n[ "$PYTHONHASHSEED" = {seed} ] || exec {itself} "$@"\n'
        f'exec {itself} {shlex.join(words)} "$@"\n'
    )
    (folder / "python").chmod(0o755)


def accept(client: socket.socket, events: selectors.BaseSelector) -> dict[str, Any] | None:
    """Fork the process that `client` asks for; in that process, what it is to do."""
    content, streams, _, _ = socket.recv_fds(client, 1 << 20, 3)
    task: dict[str, Any] = json.loads(content)
    if pid := os.fork():
        for stream in streams:
            os.close(stream)
        client.send(str(pid).encode())
        watched = os.pidfd_open(pid)
        events.register(watched, selectors.EVENT_READ, (pid, watched, client))
        events.register(client, selectors.EVENT_READ, (pid, watched, client))
        return None
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return task


def end(key: selectors.SelectorKey, events: selectors.BaseSelector) -> None:
    """A process has ended, or its client: then it ends with it."""
    pid, watched, client = key.data
    if key.fileobj is client:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):
        client.send(str(status).encode())
    for one in (watched, client):
        events.unregister(one)
    os.close(watched)
    client.close()


def run(task: dict[str, Any], own: str) -> None:
    """In the forked process: as `python` would, with `own` as its path."""
    if task["session"] == os.getsid(0):
        os.setpgid(0, task["group"])
    else:
        os.setsid()
    os.chdir(task["directory"])
    os.environ.clear()
    os.environ.update(task["environment"])
    tempfile.tempdir = None  # to be found anew
    take_over_rank()
    sys.executable = own
    start(task["arguments"])


def start(arguments: list[str]) -> None:
    """What Python's command line says."""
    safe_path = arguments[0] == "-P"
    option, *sys.argv = arguments[safe_path:]
    places = {"-m": os.getcwd(), "-c": ""}
    own = [] if safe_path else [places.get(option, str(Path(option).parent))]
    sys.path[:0] = [*own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if option == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif option == "-c":
        program, sys.argv[0] = sys.argv[0], "-c"
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv.insert(0, option)
        runpy.run_path(option, run_name="__main__")


def take_over_rank() -> None:
    """Lightning has read it from the environment when it was imported."""
    from lightning_fabric.utilities.rank_zero import _get_rank
    from pytorch_lightning.utilities import rank_zero_only

    rank_zero_only.rank = _get_rank() or 0


def offer_xla(available: bool) -> None:
    """Whether Lightning finds torch_xla: it would import it, seconds, in each process that makes a
    Trainer, to look for a TPU."""
    from lightning_fabric.accelerators.xla import _XLA_AVAILABLE

    _XLA_AVAILABLE.available = available


def leave(error: BaseException | None) -> NoReturn:
    """As Python does, but for clearing away each module that was loaded: that takes a second."""
    if error and not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
    status = error.code if isinstance(error, SystemExit) else int(error is not None)
    if isinstance(status, str):
        print(status, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(1 if isinstance(status, str) else status or 0)


if __name__ == "__main__":
    for module in LOADED:
        importlib.import_module(module)
    offer_xla(False)
    gc.freeze()  # a collection in a forked process would copy every page
    place = Path(sys.argv[1])
    task = serve(place, sys.argv[2])
    try:
        run(task, str(place / "python"))
    except BaseException as error:
        leave(error)
    leave(None)

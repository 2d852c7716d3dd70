"""A stand-in for `python` that is forked from a process which has loaded torch and Lightning.

Loading them takes seconds. `python()` is the path of a program that takes `-m MODULE`, `-c PROGRAM`
or a script, and arguments, as Python does. The forked process has the standard streams,
environment, directory, process group and exit status of the program; SIGINT and SIGTERM reach it,
and it is killed with the program. Strings have other hashes in it than in this process. With
another PYTHONHASHSEED the program is Python itself. Tests of Python's own start or of the number of
processes use `sys.executable`.
"""

import atexit
import gc
import json
import multiprocessing
import os
import runpy
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import psutil

VARIABLE = "FORKED_PYTHON"
"""Environment variable with the stand-in's path. Child processes use the same stand-in."""
FOLDER, MODULE = Path(__file__).parent, Path(__file__).stem
PRELOADED = ["torch", "torchvision", "pytorch_lightning", "scipy.stats", "dvc.cli", MODULE]
"""Not the project's modules: a test may run another version of them."""
CLIENT = """
import json, os, signal, socket, sys

server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect(sys.argv[1])
task = {
    "client": os.getpid(), "arguments": sys.argv[2:], "environment": dict(os.environ),
    "directory": os.getcwd(), "group": os.getpgid(0), "session": os.getsid(0),
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
    """The path of the stand-in; Python itself on systems other than Linux."""
    if sys.platform != "linux":
        return sys.executable
    if VARIABLE not in os.environ:
        start_server()
    return os.environ[VARIABLE]


def forked() -> list[psutil.Process]:
    """The processes forked for the programs that this process has started by `python()`."""
    folder = Path(python()).parent
    numbers = [folder / str(child.pid) for child in psutil.Process().children(recursive=True)]
    return [psutil.Process(int(number.read_text())) for number in numbers if number.exists()]


@cache  # which keeps the server alive
def start_server() -> "subprocess.Popen[bytes]":
    """Start to load what is preloaded, for this process and its children.

    Returns:
        The server, which ends with its standard input, so with this process.
    """
    folder = Path(tempfile.mkdtemp(prefix="python-"))
    address, server_python = str(folder / "socket"), shlex.quote(sys.executable)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    program = f"import {MODULE}; {MODULE}.serve({str(folder)!r}, {listener.fileno()})"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program], process_group=0, pass_fds=[listener.fileno()],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        env=os.environ | {
            "PYTHONPATH": str(FOLDER), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random",
        },
    )  # fmt: skip
    listener.close()
    (folder / "client.py").write_text(CLIENT)
    seed = shlex.quote(os.environ.get("PYTHONHASHSEED", ""))
    client = shlex.join(["-I", "-S", str(folder / "client.py"), address])
    (folder / "python").write_text(
        f'#!/bin/sh\n[ "$PYTHONHASHSEED" = {seed} ] || exec {server_python} "$@"\n'
        f'exec {server_python} {client} "$@"\n'
    )
    (folder / "python").chmod(0o755)
    os.environ[VARIABLE] = str(folder / "python")
    return process


def serve(folder: str, number: int) -> None:
    """Fork a process for each client of the listening socket `number`, until the standard input
    ends."""
    sys.path.remove(str(FOLDER))
    listener = socket.socket(fileno=number)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    running: dict[Any, tuple[socket.socket, ForkServerProcess]] = {}
    while True:
        for ready in wait([listener, 0, *running]):
            if ready == 0:
                os._exit(0)
            elif ready is listener:
                client = listener.accept()[0]
                content, streams, _, _ = socket.recv_fds(client, 1 << 20, 3)
                task = json.loads(content)
                process = context.Process(
                    target=run, args=(task, [DupFd(s) for s in streams], f"{folder}/python")
                )
                process.start()
                for stream in streams:
                    os.close(stream)
                Path(folder, str(task["client"])).write_text(str(process.pid))
                client.send(str(process.pid).encode())
                running[client] = running[process.sentinel] = client, process
            elif ready in running:  # not the other end of one that has just ended
                client, process = running[ready]
                if ready is client:
                    process.kill()
                process.join()
                with suppress(BrokenPipeError):
                    client.send(str(process.exitcode).encode())
                del running[client], running[process.sentinel]
                client.close()


def run(task: dict[str, Any], streams: list[Any], executable: str) -> None:
    """In the forked process: do as `python` would with the program's arguments."""
    gc.freeze()  # a collection would copy every page of the modules
    for number, stream in enumerate(streams):
        received = stream.detach()
        os.dup2(received, number)
        os.close(received)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  multiprocessing has closed it
    if task["session"] == os.getsid(0):
        os.setpgid(0, task["group"])
    else:
        os.setsid()
    os.chdir(task["directory"])
    os.environ.clear()
    os.environ.update(task["environment"])
    tempfile.tempdir = None  # it depends on the environment
    multiprocessing.set_start_method(None, force=True)  # not the one that made this process
    take_over_rank()
    offer_xla(False)
    sys.executable = executable
    try:
        run_arguments(task["arguments"])
    except SystemExit:
        raise
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()


def run_arguments(arguments: list[str]) -> None:
    """Run what Python's command line names."""
    safe_path = arguments[0] == "-P"
    option, *sys.argv = arguments[safe_path:]
    first = {"-m": os.getcwd(), "-c": ""}.get(option, str(Path(option).parent))
    python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [*([] if safe_path else [first]), *filter(None, python_path)]
    if option == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif option == "-c":
        program, sys.argv[0] = sys.argv[0], "-c"
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv.insert(0, option)
        runpy.run_path(option, run_name="__main__")


def take_over_rank() -> None:
    """Let Lightning read the rank again: it read it from the environment when it was imported."""
    from lightning_fabric.utilities.rank_zero import _get_rank
    from pytorch_lightning.utilities import rank_zero_only

    rank_zero_only.rank = _get_rank() or 0


def offer_xla(available: bool) -> None:
    """Set whether Lightning finds torch_xla. It would import it, which takes seconds, in each
    process that makes a Trainer."""
    from lightning_fabric.accelerators.xla import _XLA_AVAILABLE

    _XLA_AVAILABLE.available = available

"""Scenarios in processes of their own, one for each rank, that a fork server starts."""

import atexit
import contextlib
import functools
import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from datamodule_conformance.scenario import Observation, Scenario
from datamodule_conformance.source import DataModuleSource

TIMEOUT = 600.0
"""Seconds after which processes count as hanging."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


@dataclass(frozen=True)
class Job:
    """A scenario, and what its processes take over from this one."""

    source: DataModuleSource
    scenario: Scenario
    timeout: float
    environment: dict[str, str]
    directory: str = field(default_factory=os.getcwd)
    path: list[str] = field(default_factory=lambda: list(sys.path))

    def save(self, folder: Path) -> None:
        """Write it to `folder`."""
        (folder / "job").write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, folder: Path) -> "Job":
        """What `save` wrote to `folder`."""
        job: Job = pickle.loads((folder / "job").read_bytes())
        return job


class ForkServer:
    """A process that imports torch and Lightning once, and forks the processes of each scenario.

    Python decides when it starts how it hashes texts. The server starts with another
    PYTHONHASHSEED than this process, so what it forks hashes them differently too.
    """

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": _other_hash_seed()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "datamodule_conformance.fork_server"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self.close)

    def run(self, folder: Path) -> str | None:
        """Do the job in `folder` and wait for its end; what failed, if anything did.

        Raises:
            RuntimeError: the server itself ended.
        """
        assert self.process.stdin
        assert self.process.stdout
        answer = ""
        try:
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(str(folder)), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        finally:
            if not answer:
                self.close()
        if not answer:
            raise RuntimeError(f"the fork server ended with exit code {self.process.returncode}")
        failure: str | None = json.loads(answer)
        return failure

    def close(self) -> None:
        """End it, and have the next run start another."""
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # it has read its last folder
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=30)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        _server.cache_clear()


def observe_in_processes(source: DataModuleSource, scenario: Scenario) -> list[Observation]:
    """What each rank observes, in a process of its own where texts hash differently.

    Raises:
        RuntimeError: a process failed, with the last line that it wrote, or hangs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Job(source, scenario, TIMEOUT, _inherited() | _ddp(scenario.ranks)).save(folder)
        failure = _server().run(folder)
        if failure:
            raise RuntimeError(failure)
        paths = [folder / f"observation-{rank}" for rank in range(scenario.ranks)]
        return [pickle.loads(path.read_bytes()) for path in paths]


@functools.cache
def _server() -> ForkServer:
    return ForkServer()


def _other_hash_seed() -> str:
    return "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"


def _inherited() -> dict[str, str]:
    """Without torchrun's, with which torch would look for a store that torchrun keeps."""
    return {n: text for n, text in os.environ.items() if not n.startswith("TORCHELASTIC_")}


def _ddp(ranks: int) -> dict[str, str]:
    """What tells Lightning's DDP that `ranks` processes run already and where they meet."""
    if ranks == 1:
        return {}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    return {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0",
        "WORLD_SIZE": str(ranks), "GLOO_SOCKET_IFNAME": LOOPBACK,
    }  # fmt: skip

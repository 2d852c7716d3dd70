"""`python -m tests.training.rank_process`: starts ranks on request, as a launcher would.

They have a small network in ResNet50's place. They are forked, because loading torch and Lightning
takes seconds.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from tests.support import small

    small.hide_torch_xla()
    small.replace_networks()

from benchmark.command_line import main
from benchmark.data.datamodule import ImageDataModule
from benchmark.training import fit
from lightning_conformance.call_log import Call, CallLog, with_call_log

TIMEOUT = 60
"""Seconds after which a rank counts as hanging."""


def serve() -> None:
    """Print the exit statuses of the ranks that each line of standard input describes."""
    for line in sys.stdin:
        print(json.dumps(run_ranks(**json.loads(line))), flush=True)


def run_ranks(
    directories: Sequence[str], port: str, stage: str, per_node: bool, extra: Mapping[str, str]
) -> list[int]:
    """Run a stage on ranks, one for each directory; return their exit statuses.

    Ranks of one directory are of one machine. `extra` contains environment variables.
    """
    ranks = []
    for number in range(len(directories)):
        if rank := os.fork():
            ranks.append(rank)
        else:
            signal.alarm(TIMEOUT)
            os.environ |= variables(number, directories, port) | extra
            os._exit(run(number, directories[number], stage, per_node))
    return [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]


def run(number: int, directory: str, stage: str, per_node: bool) -> int:
    """Run the stage in this rank, and write the DataModule's calls to a file."""
    os.chdir(directory)
    with open(f"rank.{number}.log", "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    calls: list[Call] = []
    logged: Any = with_call_log(ImageDataModule, CallLog(calls))
    logged.prepare_data_per_node = property(lambda _: per_node, lambda *_: None)
    fit.ImageDataModule = logged  # type: ignore[misc]
    try:
        return main([stage, "cpu"])
    except BaseException as error:  # os._exit prints nothing
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    finally:
        Path(f"calls.{number}.json").write_text(json.dumps(calls))
        sys.stdout.flush()
        sys.stderr.flush()


def variables(number: int, directories: Sequence[str], port: str) -> dict[str, str]:
    """Return the environment variables that a launcher sets."""
    node = [*dict.fromkeys(directories)].index(directories[number])
    locks = Path(directories[number], f"machine.{node}")
    locks.mkdir(exist_ok=True)
    return {
        "RANK": str(number),
        "LOCAL_RANK": str(number - directories.index(directories[number])),
        "GROUP_RANK": str(node),
        "WORLD_SIZE": str(len(directories)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_ERROR_FILE": f"error.{number}.json",
        "GLOO_SOCKET_IFNAME": "lo",
        "BENCHMARK_LOCK_DIRECTORY": str(locks),
    }


if __name__ == "__main__":
    serve()

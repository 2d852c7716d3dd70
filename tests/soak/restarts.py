"""`python -m tests.soak.restarts [options]`: does a restart by `torchrun` lose anything?

Trains a small network on two ranks under `torchrun --max-restarts 1`, kills one of them in a random
epoch, and compares every file of the result with those of an undisturbed training. The backbone
unfreezes in the middle, so that some trainings are killed before that and some after.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmark.common.files import sha256
from tests import REPOSITORY
from tests.training.test_ranks import make

EPOCHS = 8
RESULTS = "reports/train"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TRAIN = ("-m", "tests.support.small", "train", "cpu")
LIMIT = 300
"""Seconds that a training may take."""


def main(arguments: list[str]) -> int:
    """Kill and compare; return 1 if a result differs."""
    options = _parser().parse_args(arguments)
    source, bad = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix="restarts-") as folder:
        expected = train(workspace(Path(folder, "undisturbed")), 0, 0)
        for number in range(options.kills):
            epoch, rank = source.randint(1, EPOCHS - 1), source.randint(0, 1)
            equal = train(workspace(Path(folder, str(number))), epoch, rank) == expected
            bad += not equal
            print(f"{number}: rank {rank} killed after epoch {epoch}: {equal=}", flush=True)
    print(f"seed {options.seed}: {options.kills} restarts, {bad} with another result.")
    return int(bool(bad))


def workspace(root: Path) -> Path:
    """A directory to train in."""
    return make(root, 2, train={"max_epochs": EPOCHS, "patience": EPOCHS, "unfreeze_epoch": 3})


def train(root: Path, epoch: int, rank: int) -> dict[str, str]:
    """Train and return the files' digests; kill `rank` when `epoch`, from 1, has been printed."""
    command = [sys.executable, *TORCHRUN, "--max-restarts", "1", *TRAIN]
    variables = {"PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "lo", "PJRT_DEVICE": "CPU"}
    process = subprocess.Popen(
        command, cwd=root, env=os.environ | variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout
    resumed = [line for line in _killing(process, epoch, rank) if "resuming" in line]
    assert process.wait(LIMIT) == 0
    assert len(resumed) == bool(epoch), "nothing was killed in time"
    return {path.name: sha256(path) for path in sorted((root / RESULTS).rglob("*.*"))}


def _killing(process: subprocess.Popen[str], epoch: int, rank: int) -> Iterator[str]:
    """The lines of its output."""
    alive = True
    assert process.stdout
    for line in process.stdout:
        if alive and f"epoch {epoch}/" in line:
            alive = False
            for child in psutil.Process(process.pid).children():
                if child.environ().get("RANK") == str(rank):
                    child.kill()
        yield line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.restarts", description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

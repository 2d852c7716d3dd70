"""`python -m tests.soak.reproducible [options]`: does other load change a bit of a training?

Trains repeatedly, in fresh processes next to random load. Losses and the digests of every layer's
output, every gradient and every weight of every step are compared with those of an undisturbed
training. Traces that differ are kept. An interrupted soak continues when it is started again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests import REPOSITORY
from tests.soak.disturbance import Disturbance, around, disturb, draw, environment, running
from tests.soak.trace import first_difference
from tests.soak.training import BUNDLED, SMALL, make

UNDISTURBED = Disturbance((), 0)
PER_PROCESS = {SMALL: 5, BUNDLED: 1}
"""Trainings in each process: loading torch takes longer than training the small network."""
Trace = list[dict[str, Any]]


def main(arguments: list[str]) -> int:
    """Train and print the result; return 1 if a training differed."""
    options = _parser().parse_args(arguments)
    for workload, trainings in ((SMALL, options.small), (BUNDLED, options.bundled)):
        Soak(options.directory, workload, options.seed).run(trainings, options.parallel)
    rows = [row for path in options.directory.glob("*.jsonl") for row in read(path)]
    different = [row for row in rows if row["difference"]]
    print(f"{len(rows)} trainings, {len(different)} differed.")
    return int(bool(different))


class Soak:
    """The trainings of one workload and seed."""

    def __init__(self, directory: Path, workload: str, seed: int) -> None:
        self._directory, self._workload, self._seed = directory.absolute(), workload, seed
        self._record = self._directory / f"{workload}.{seed}.jsonl"
        self._reference = self._directory / f"{workload}.reference.trace"

    def run(self, trainings: int, parallel: int) -> None:
        """Run the remaining trainings, in `parallel` processes at a time."""
        done = {row["number"] for row in read(self._record)}
        remaining = [number for number in range(trainings) if number not in done]
        if remaining and not self._reference.exists():
            self._train(f"{self._workload}.reference", UNDISTURBED, [self._reference])
        size = PER_PROCESS[self._workload]
        groups = [remaining[n : n + size] for n in range(0, len(remaining), size)]
        with ThreadPoolExecutor(parallel) as pool:
            slots = [f"{self._workload}.{slot}" for slot in range(parallel)]
            shares = [groups[slot::parallel] for slot in range(parallel)]
            list(pool.map(self._compare_all, slots, shares))

    def _compare_all(self, slot: str, groups: list[list[int]]) -> None:
        for numbers in groups:
            self._compare(slot, numbers)

    def _compare(self, slot: str, numbers: list[int]) -> None:
        disturbance = draw(self._seed, numbers[0] // PER_PROCESS[self._workload])
        paths = [self._directory / f"{self._workload}.{self._seed}.{n}.trace" for n in numbers]
        self._train(slot, disturbance, paths)
        reference = read(self._reference)
        for number, path in zip(numbers, paths, strict=True):
            difference = compare(reference, read(path))
            row = {"number": number, "load": str(disturbance), "difference": difference}
            with self._record.open("a") as file:
                print(json.dumps(row), file=file)
            print(f"{self._workload} {number}: {difference or 'equal'} ({disturbance})", flush=True)
            if not difference:
                path.unlink()

    def _train(self, slot: str, disturbance: Disturbance, paths: Sequence[Path]) -> None:
        workspace = self._directory / slot
        if not workspace.exists():
            workspace.mkdir(parents=True)
            make(self._workload, workspace)
        command = [sys.executable, "-m", "tests.soak.training", self._workload, *map(str, paths)]
        variables = environment(disturbance) | {"PYTHONPATH": str(REPOSITORY)}
        paths[0].unlink(missing_ok=True)
        with (
            around(disturbance, workspace),
            running(command, workspace, env=variables, stdout=subprocess.DEVNULL) as process,
        ):
            disturb(process, disturbance, paths[0])
        assert process.returncode == 0, f"{slot}: exit status {process.returncode}, {disturbance}"


def compare(reference: Trace, trace: Trace) -> str:
    """The first difference to the undisturbed training, in words; empty if there is none."""
    difference = first_difference(reference[:-1], trace[:-1])
    if difference or reference[-1] == trace[-1]:
        return difference
    return f"after the last step, {next(k for k in trace[-1] if trace[-1][k] != reference[-1][k])}"


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; none if it does not exist."""
    return [json.loads(line) for line in path.open()] if path.exists() else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.reproducible", description=__doc__)
    parser.add_argument("--small", type=int, default=450, help="trainings of the small network")
    parser.add_argument("--bundled", type=int, default=50, help="of ResNet50, five steps each")
    parser.add_argument("--parallel", type=int, default=2, help="trainings at a time")
    parser.add_argument("--seed", type=int, default=1, help="seed of the load")
    parser.add_argument("--directory", type=Path, default=REPOSITORY / ".soak")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

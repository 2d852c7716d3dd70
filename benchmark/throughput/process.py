"""One measuring process: `python -m benchmark.worker RESULT`, with its task as the first line of
standard input, which stays open for as long as somebody waits for the result.

It measures and judges nothing: throughput.py starts several and compares them.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import torch

from benchmark import accelerators, efficiency, machine, overhead
from benchmark.cache import DecodeCache
from benchmark.efficiency import EnergyMeter
from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.folder import ImageFolder, Split, scan
from benchmark.modes import Loop
from benchmark.parameters import DataParameters, Parameters, parse_parameters
from benchmark.randomness import permutation
from benchmark.rig import Block, Rig, Warmup

DECODED, BUILDS = 1000, 3
"""Images of each split in a cache that is built to time it, and how often it is."""
AGAIN = "trainer_again"
"""The trainer's second block in each round: against the first one, it shows the noise."""


def main(arguments: list[str]) -> None:
    """Do the task and write its result."""
    task = json.loads(sys.stdin.readline())
    Thread(target=end_with_parent, args=[sys.stdin.fileno()], daemon=True).start()
    parameters = parse_parameters(task["parameters"], "the task")
    write_json(Path(arguments[0]), attempt(task["accelerator"], parameters, task["number"]))


def end_with_parent(pipe: int) -> None:
    """End this process group when the other end of `pipe` is closed: nobody waits any more, and
    the lock on the machine is gone."""
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


def attempt(accelerator: str, parameters: Parameters, number: int) -> dict[str, Any]:
    """`measure`; what a user can mend, and want of memory, are results too."""
    try:
        return {"status": "ok", **measure(accelerator, parameters, number)}
    except UserError as error:
        return {"status": "refused", "reason": str(error)}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {"status": "out of memory", "reason": str(error).strip().splitlines()[0]}


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` is one of the many ways to say so."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "RESOURCE_EXHAUSTED")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(word in str(error) for word in words)


def measure(accelerator: str, parameters: Parameters, number: int) -> dict[str, Any]:
    """The sample of process `number`: warm-up, rounds of blocks, and what else can be known.

    Raises:
        UserError: the data or the weights are not usable.
    """
    accelerators.prepare(accelerator)
    meter = EnergyMeter(accelerator)
    with Rig(accelerator, parameters) as rig:
        warmups = {name: rig.warm_up(name) for name in rig.modes}
        result = _start(rig, warmups) | _rounds(rig, _steps(parameters, warmups), number, meter)
        result["memory"] = efficiency.peak_memory(accelerator)
    result["peak"] = efficiency.peak(accelerator, parameters.train.precision)
    result["overhead"] = overhead.measure(accelerator, parameters.train.precision)
    if "input" in parameters.throughput.modes:
        result["decoded_per_second"] = decoding_rate(parameters.data, rig.data.cache_dir)
    return result


def decoding_rate(data: DataParameters, directory: Path) -> float | None:
    """Images per second while a cache is built anew below `directory`, the median of a few times;
    None if the dataset is too large for one."""
    images = _part(scan(Path(data.root)))
    seconds = [_build(images, data, directory) for _ in range(BUILDS)]
    known = [found for found in seconds if found is not None]
    return len(images.paths) / median(known) if known else None


def _build(images: ImageFolder, data: DataParameters, directory: Path) -> float | None:
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        cache = DecodeCache(images, data.image_size, Path(folder), data.cache_gib)
        start = time.perf_counter()
        cache.prepare()
        seconds = time.perf_counter() - start
        return seconds if (cache.directory / "pixels.npy").exists() else None


def _part(images: ImageFolder) -> ImageFolder:
    """The first images of each split: enough to time, however large the dataset."""
    splits = {
        name: Split(split.paths[:DECODED], split.labels[:DECODED])
        for name, split in images.splits.items()
    }
    return replace(images, splits=splits)


def _steps(parameters: Parameters, warmups: Mapping[str, Warmup]) -> dict[str, int]:
    """Steps in a block of each mode; those that train have blocks of the same length."""
    least = parameters.throughput.block_seconds
    needed = {name: ceil(least / warmup.step_seconds) for name, warmup in warmups.items()}
    inputs = {name: needed[name] for name in needed if name.endswith("input")}
    return {name: inputs.get(name, needed["trainer"]) for name in needed}


def _start(rig: Rig, warmups: Mapping[str, Warmup]) -> dict[str, Any]:
    warm, first = warmups["trainer"], rig.first_step
    compiling = max(0.0, first.seconds - warm.step_seconds) if first.compilations else 0.0
    return {
        "first_step_seconds": rig.seconds_to_first_step,
        "compile_seconds": compiling + warm.compile_seconds,
        "warmup": {
            name: {"steps": len(warmup.seconds), "level": warmup.level}
            for name, warmup in warmups.items()
        },
    }


def _rounds(rig: Rig, steps: dict[str, int], number: int, meter: EnergyMeter) -> dict[str, Any]:
    """Blocks in rounds, each round in an order of its own, so that no mode has the better place."""
    steps = {**steps, AGAIN: steps["trainer"]}
    names, rounds = list(steps), rig.parameters.throughput.rounds
    waited = _waited(rig)
    blocks: list[dict[str, Block]] = []
    singles: list[float] = []
    joules = 0.0
    for turn in range(rounds):
        order = permutation(rig.parameters.seed, number * rounds + turn, len(names))
        measured = {}
        for name in (names[place] for place in order):
            before = meter.joules()
            measured[name] = rig.time(name.removesuffix("_again"), steps[name])
            joules += meter.joules() - before if name in ("trainer", AGAIN) else 0.0
        blocks.append(measured)
        singles += _singles(rig, measured, steps["trainer"])
    return {
        "steps": steps,
        "cores": _cores(rig.parameters.data, steps),
        "rounds": [{name: asdict(block) for name, block in turn.items()} for turn in blocks],
        "step_seconds": singles,
        "waited_seconds": {name: now - waited[name] for name, now in _waited(rig).items()},
        "energy": {"reason": meter.reason} if meter.reason else {"joules": joules},
    }


def _singles(rig: Rig, measured: dict[str, Block], steps: int) -> list[float]:
    """Times of single steps, each synchronised: the round's blocks, if those are single steps."""
    if steps == 1:
        blocks = [measured[name] for name in ("trainer", AGAIN)]
    else:
        blocks = [rig.time("trainer", 1) for _ in range(steps)]
    return [block.seconds for block in blocks if not block.compilations]


def _cores(data: DataParameters, steps: Mapping[str, int]) -> dict[str, int]:
    """How many cores each loader keeps busy."""
    busy = min(max(1, data.num_workers), machine.cores())
    cores = {"input": busy, "baseline_input": machine.cores()}
    return {name: cores[name] for name in cores if name in steps}


def _waited(rig: Rig) -> dict[str, float]:
    """Seconds in which each plain loop has waited for its loader so far."""
    loops = {name: mode for name, mode in rig.modes.items() if isinstance(mode, Loop)}
    return {name: loop.source.waited for name, loop in loops.items()}


if __name__ == "__main__":
    main(sys.argv[1:])

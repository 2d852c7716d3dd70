"""One measuring process: `python -m benchmark.throughput.process RESULT`.

Its task is the first line of standard input, which stays open for as long as somebody waits for
the result.

It measures and judges nothing: throughput.py starts several and compares them.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import torch

from benchmark.common.errors import UserError, explain_system_errors
from benchmark.common.parameters import DataParameters, Parameters, parse_parameters
from benchmark.common.results import write_result
from benchmark.data.cache import DecodeCache
from benchmark.data.folder import DatasetFiles, SplitFiles, scan
from benchmark.data.loader_errors import explain_loader_errors
from benchmark.data.randomness import permutation
from benchmark.machine import accelerators, processors
from benchmark.throughput import efficiency, overhead
from benchmark.throughput.efficiency import EnergyMeter
from benchmark.throughput.modes import Loop
from benchmark.throughput.schema import Block, Measurement, NotMeasured, WarmupSummary
from benchmark.throughput.timer import ModeTimer, Warmup

DECODED, BUILDS = 1000, 3
"""Images of each split in a cache that is built to time it, and how often it is."""
AA = "trainer_aa"
"""A/A: the Trainer's second block in each round. Against the first one, it shows the noise."""


def main(arguments: list[str]) -> None:
    """Do the task and write its result."""
    task = json.loads(sys.stdin.readline())
    Thread(target=end_with_parent, args=[sys.stdin.fileno()], daemon=True).start()
    parameters = parse_parameters(task["parameters"], "the task")
    write_result(Path(arguments[0]), attempt(task["accelerator"], parameters, task["number"]))


def end_with_parent(pipe: int) -> None:
    """End this process group when the other end of `pipe` is closed: nobody waits any more, and
    the lock on the machine is gone."""
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


def attempt(accelerator: str, parameters: Parameters, number: int) -> Measurement | NotMeasured:
    """`measure`; errors that a user can correct, and a lack of memory, are results too."""
    try:
        with explain_system_errors(), explain_loader_errors():
            return measure(accelerator, parameters, number)
    except UserError as error:
        return NotMeasured(status="refused", reason=str(error))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return NotMeasured(status="out of memory", reason=str(error).strip().splitlines()[0])


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` is one of the many ways to say so."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "RESOURCE_EXHAUSTED")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(word in str(error) for word in words)


def measure(accelerator: str, parameters: Parameters, number: int) -> Measurement:
    """What process `number` finds: warm-up, rounds of blocks, and what else can be known.

    Raises:
        UserError: the data or the weights are not usable.
    """
    accelerators.prepare(accelerator)
    meter = EnergyMeter(accelerator)
    with ModeTimer(accelerator, parameters) as mode_timer:
        warmups = {name: mode_timer.warm_up(name) for name in mode_timer.modes}
        blocks = _rounds(mode_timer, _steps(parameters, warmups), number, meter)
        memory = efficiency.peak_memory(accelerator)
    return Measurement(
        **_start(mode_timer, warmups),
        **blocks,
        memory=memory,
        peak=efficiency.peak(accelerator, parameters.train.precision),
        overhead=overhead.measure(accelerator, parameters.train.precision),
        decoded_per_second=_decoded(parameters, mode_timer),
    )


def _decoded(parameters: Parameters, mode_timer: ModeTimer) -> float | None:
    """Images per second while a decode cache is built; None if loaders are not measured."""
    if "input" not in parameters.throughput.modes:
        return None
    return decoding_rate(parameters.data, mode_timer.data.cache_dir)


def decoding_rate(data: DataParameters, directory: Path) -> float | None:
    """Images per second while a cache is built anew below `directory`, the median of a few times;
    None if the dataset is too large for one."""
    images = _part(scan(Path(data.root)))
    seconds = [_build(images, data, directory) for _ in range(BUILDS)]
    known = [found for found in seconds if found is not None]
    return len(images.paths) / median(known) if known else None


def _build(images: DatasetFiles, data: DataParameters, directory: Path) -> float | None:
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        cache = DecodeCache(images, data.image_size, Path(folder), data.cache_gib)
        start = time.perf_counter()
        cache.prepare()
        seconds = time.perf_counter() - start
        return seconds if (cache.directory / "pixels.npy").exists() else None


def _part(images: DatasetFiles) -> DatasetFiles:
    """The first images of each split: enough to time, however large the dataset."""
    splits = {
        name: SplitFiles(split.paths[:DECODED], split.labels[:DECODED])
        for name, split in images.splits.items()
    }
    return replace(images, splits=splits)


def _steps(parameters: Parameters, warmups: Mapping[str, Warmup]) -> dict[str, int]:
    """Steps in a block of each mode; those that train have blocks of the same length."""
    least = parameters.throughput.block_seconds
    needed = {name: ceil(least / warmup.step_seconds) for name, warmup in warmups.items()}
    inputs = {name: needed[name] for name in needed if name.endswith("input")}
    return {name: inputs.get(name, needed["trainer"]) for name in needed}


def _start(mode_timer: ModeTimer, warmups: Mapping[str, Warmup]) -> dict[str, Any]:
    warm, first = warmups["trainer"], mode_timer.first_step
    compiling = max(0.0, first.seconds - warm.step_seconds) if first.compilations else 0.0
    return {
        "first_step_seconds": mode_timer.seconds_to_first_step,
        "compile_seconds": compiling + warm.compile_seconds,
        "warmup": {
            name: WarmupSummary(steps=len(warmup.seconds), steady=warmup.steady)
            for name, warmup in warmups.items()
        },
    }


def _rounds(
    mode_timer: ModeTimer, steps: dict[str, int], number: int, meter: EnergyMeter
) -> dict[str, Any]:
    """Blocks in rounds, each round in an order of its own, so that no mode has the better place."""
    steps = {**steps, AA: steps["trainer"]}
    names, rounds = list(steps), mode_timer.parameters.throughput.rounds
    waited = _waited(mode_timer)
    blocks: list[dict[str, Block]] = []
    singles: list[float] = []
    joules = 0.0
    for turn in range(rounds):
        order = permutation(mode_timer.parameters.seed, number * rounds + turn, len(names))
        measured = {}
        for name in (names[place] for place in order):
            before = meter.joules()
            measured[name] = mode_timer.time("trainer" if name == AA else name, steps[name])
            joules += meter.joules() - before if name in ("trainer", AA) else 0.0
        blocks.append(measured)
        singles += _single_steps(mode_timer, measured, steps["trainer"])
    return {
        "steps": steps,
        "cores": _cores(mode_timer.parameters.data, steps),
        "rounds": tuple(blocks),
        "step_seconds": tuple(singles),
        "waited_seconds": {n: now - waited[n] for n, now in _waited(mode_timer).items()},
        "energy": meter.reading(joules),
    }


def _single_steps(mode_timer: ModeTimer, measured: dict[str, Block], steps: int) -> list[float]:
    """Times of single steps, each synchronised: the round's blocks, if those are single steps."""
    if steps == 1:
        blocks = [measured[name] for name in ("trainer", AA)]
    else:
        blocks = [mode_timer.time("trainer", 1) for _ in range(steps)]
    return [block.seconds for block in blocks if not block.compilations]


def _cores(data: DataParameters, steps: Mapping[str, int]) -> dict[str, int]:
    """How many cores each loader keeps busy."""
    busy = min(max(1, data.num_workers), processors.cores())
    cores = {"input": busy, "baseline_input": processors.cores()}
    return {name: cores[name] for name in cores if name in steps}


def _waited(mode_timer: ModeTimer) -> dict[str, float]:
    """Seconds in which each plain loop has waited for its loader so far."""
    loops = {name: mode for name, mode in mode_timer.modes.items() if isinstance(mode, Loop)}
    return {name: loop.source.waited for name, loop in loops.items()}


if __name__ == "__main__":
    main(sys.argv[1:])

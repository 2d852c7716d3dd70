"""Compare the Trainer's speed with another process's, in pairs of processes that alternate."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from typing import Any

from benchmark.common.numbers import number
from benchmark.common.parameters import Parameters, SweepParameters
from benchmark.common.progress import progress
from benchmark.interleave.pair import time_alternating_blocks, trimmed_mean
from benchmark.interleave.training_process import TrainingProcess
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.schema import Memory


@dataclass(frozen=True)
class PairResult:
    """The rate and ratio that one pair of processes measured."""

    rate: float
    """Images per second of the other process, over all its devices."""
    ratio: float
    """`rate` divided by the rate of the Trainer with the run's parameters."""
    memory: Memory | None = None
    """Peak memory of the other process; None for a peer and for several devices."""


def measure_pairs(
    accelerator: Accelerator,
    parameters: Parameters,
    name: str,
    other: Parameters,
    seed: int,
    *,
    devices: int = 1,
    peer: str | None = None,
    repeats: int | None = None,
    blocks: int | None = None,
    epochs_per_pass: int = 1,
) -> list[PairResult]:
    """Measure pairs of the Trainer and another process, one after another.

    Both processes of each pair are new, and end with the pair. With `parameters` the Trainer trains
    on one device. The other process, called `name` in messages, trains with the parameters `other`
    on `devices` devices, or runs `peer`. ModeTimer explains `epochs_per_pass`. There are `repeats`
    pairs, by default `throughput.repeats`, with `blocks` pairs of blocks. Progress is printed.

    Raises:
        UserError: a process cannot train, or compiled a graph in each block.
        OutOfMemory: both processes together need more memory than is available.
    """
    results: list[PairResult] = []
    repeats, label = repeats or parameters.throughput.repeats, f"{accelerator.label} {name}"
    with progress(repeats, label) as show:
        for index in range(repeats):
            with (
                closing(TrainingProcess("the Trainer")) as first,
                closing(TrainingProcess(name, peer=peer)) as second,
            ):
                first.warm_up(task(accelerator, parameters))
                second.warm_up(task(accelerator, other, devices, epochs_per_pass))
                images = parameters.data.batch_size, other.data.batch_size * devices
                seconds = parameters.throughput.block_seconds
                result = compare_rates((first, second), images, seconds, seed, index, blocks)
                if not peer and devices == 1:
                    result = replace(result, memory=second.peak_memory())
            results.append(result)
            show(f"{label}: {number(result.rate)} images/s, {result.ratio:.3f} of the Trainer's")
    return results


def trainer_only(parameters: Parameters) -> Parameters:
    """Return a copy of `parameters` with the Trainer as the only mode and without a sweep."""
    measured = parameters.throughput.model_copy(
        update={"modes": ("trainer",), "sweep": SweepParameters()}
    )
    return parameters.model_copy(update={"throughput": measured})


def compare_rates(
    processes: tuple[TrainingProcess, TrainingProcess],
    images: tuple[int, int],
    block_seconds: float,
    seed: int,
    number: int,
    blocks: int | None = None,
) -> PairResult:
    """Time alternating blocks of two warm processes, and return the second one's rate and ratio.

    Args:
        processes: the Trainer with the run's parameters, and the other process.
        images: images in a step of each process, over all its devices.
        block_seconds: approximate length of a block; it has at least one step.
        seed, number, blocks: as for `time_alternating_blocks`.

    Raises:
        UserError: as `time_alternating_blocks`.
    """
    first, second = processes
    steps = ceil(block_seconds / first.step_seconds), ceil(block_seconds / second.step_seconds)
    rates = [
        (steps[0] * images[0] / one.seconds, steps[1] * images[1] / two.seconds)
        for one, two in time_alternating_blocks(processes, steps, seed, number, blocks)
    ]
    return PairResult(
        rate=median(rate for _, rate in rates),
        ratio=trimmed_mean([rate / trainer for trainer, rate in rates]),
    )


def task(
    accelerator: Accelerator, parameters: Parameters, devices: int = 1, epochs_per_pass: int = 1
) -> Mapping[str, Any]:
    """Return the task of a TrainingProcess: the Trainer with `parameters`."""
    return {
        "accelerator": accelerator.name,
        "parameters": trainer_only(parameters).model_dump(mode="json"),
        "devices": devices,
        "epochs_per_pass": epochs_per_pass,
    }

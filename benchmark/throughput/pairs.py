"""Compare the Trainer's speed with another process's, in pairs of processes that alternate."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any

from benchmark.common.numbers import number
from benchmark.common.parameters import Parameters, SweepParameters
from benchmark.common.progress import progress
from benchmark.interleave.pair import time_alternating_blocks, trimmed_mean
from benchmark.interleave.training_process import TrainingProcess
from benchmark.machine.accelerators import Accelerator


@dataclass(frozen=True)
class PairResult:
    """The rate and ratio that one pair of processes measured."""

    rate: float
    """Images per second of the other process, over all its devices."""
    ratio: float
    """`rate` divided by the rate of the Trainer with the run's parameters."""


def measure_pairs(
    accelerator: Accelerator,
    parameters: Parameters,
    name: str,
    other: Parameters,
    seed: int,
    *,
    devices: int = 1,
    peer: str | None = None,
) -> list[PairResult]:
    """Measure `throughput.repeats` pairs of the Trainer and another process, one after another.

    Both processes of each pair are new, and end with the pair. With `parameters` the Trainer trains
    on one device. The other process, called `name` in messages, trains with the parameters `other`
    on `devices` devices, or runs `peer`. Progress is printed.

    Raises:
        UserError: a process cannot train, or compiled a graph in each block.
        OutOfMemory: both processes together need more memory than is available.
    """
    results: list[PairResult] = []
    repeats, label = parameters.throughput.repeats, f"{accelerator.label} {name}"
    with progress(repeats, label) as show:
        for index in range(repeats):
            with (
                closing(TrainingProcess("the Trainer")) as first,
                closing(TrainingProcess(name, peer=peer)) as second,
            ):
                first.warm_up(_task(accelerator, trainer_only(parameters), 1))
                second.warm_up(_task(accelerator, trainer_only(other), devices))
                seconds = parameters.throughput.block_seconds
                steps = ceil(seconds / first.step_seconds), ceil(seconds / second.step_seconds)
                blocks = time_alternating_blocks((first, second), steps, seed, index)
            images = steps[0] * parameters.data.batch_size
            other_images = steps[1] * other.data.batch_size * devices
            rates = [(images / one.seconds, other_images / two.seconds) for one, two in blocks]
            result = PairResult(
                rate=median(rate for _, rate in rates),
                ratio=trimmed_mean([rate / trainer for trainer, rate in rates]),
            )
            results.append(result)
            show(f"{label}: {number(result.rate)} images/s, {result.ratio:.3f} of the Trainer's")
    return results


def trainer_only(parameters: Parameters) -> Parameters:
    """Return a copy of `parameters` with the Trainer as the only mode and without a sweep."""
    measured = parameters.throughput.model_copy(
        update={"modes": ("trainer",), "sweep": SweepParameters()}
    )
    return parameters.model_copy(update={"throughput": measured})


def _task(accelerator: Accelerator, parameters: Parameters, devices: int) -> Mapping[str, Any]:
    return {
        "accelerator": accelerator.name,
        "parameters": parameters.model_dump(mode="json"),
        "devices": devices,
    }

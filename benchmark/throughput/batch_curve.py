"""Search for the fastest batch size, by doubling, in pairs with the run's own batch size."""

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Literal

from benchmark.common.numbers import number
from benchmark.common.parameters import Parameters
from benchmark.common.progress import progress
from benchmark.common.statistics import Interval, interval
from benchmark.errors.user_error import UserError
from benchmark.interleave.pair import DISCARDED
from benchmark.interleave.training_process import OutOfMemory, TrainingProcess
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.memory import largest
from benchmark.throughput.pairs import PairResult, compare_rates, measure_pairs, task
from benchmark.throughput.schema import BatchCurve, BatchPoint, BestBatch
from benchmark.throughput.sweep import make_point

LEAST_GAIN = 1.05
"""Factor by which a doubling must raise the rate for the search to go on."""
WORTHWHILE = 1.1
"""Factor of the run's own rate above which a larger batch is the fastest one. Another batch size
trains another result, and a smaller gain may be noise of the one pair of processes."""
BLOCKS = 3
"""Pairs of blocks of each batch size that count in a pair of processes."""
FIRST_STEPS = 3
"""Smallest number of steps of a batch size before its blocks: the first one, and the warm-up."""
PAIRS = 3
"""Pairs of processes that measure the fastest batch size after the search."""
DOUBLINGS = 8
"""Length of the progress bar; there may be more doublings."""


def measure(
    accelerator: Accelerator, parameters: Parameters, rate: Interval, seed: int
) -> BatchCurve | None:
    """Measure larger batches until a doubling gains little, memory ends or the time is spent.

    The search chooses the fastest batch size. New pairs of processes then measure that one: a rate
    from the search could be the highest by chance. If a process fails, the result has the reason.
    Progress is printed.

    Args:
        accelerator: an available accelerator.
        parameters: the run's parameters.
        rate: images per second with them. Rates of larger batches are this one times the measured
            ratio: the machine may be faster or slower now.
        seed: seed of the orders of blocks.

    Returns:
        The curve; None if `throughput.curve_seconds` is 0.
    """
    if not parameters.throughput.curve_seconds:
        return None
    curve = _search(accelerator, parameters, rate, seed)
    gaining = curve.points[:-1] if curve.end == "gain" else curve.points
    if not gaining or gaining[-1].ratio <= WORTHWHILE:
        return curve
    try:
        best = _measure_best(accelerator, parameters, gaining[-1].batch_size, rate, seed)
    except UserError as error:
        return curve.model_copy(update={"end": "failed", "reason": str(error)})
    return curve.model_copy(update={"best": best})


def _search(
    accelerator: Accelerator, parameters: Parameters, rate: Interval, seed: int
) -> BatchCurve:
    """Return the curve without the best batch size. One pair of processes measures all points."""
    points: list[BatchPoint] = []
    label, ratio = f"{accelerator.label} larger batches", 1.0
    end: Literal["gain", "memory", "time", "failed"] = "time"
    reason = None
    try:
        with (
            progress(DOUBLINGS, label) as show,
            closing(TrainingProcess("the Trainer")) as reference,
            closing(TrainingProcess("a larger batch")) as larger,
        ):
            reference.warm_up(task(accelerator, parameters))
            for batch_size, result in _doublings(
                accelerator, parameters, (reference, larger), seed
            ):
                point = BatchPoint(
                    batch_size=batch_size,
                    images_per_second=rate.estimate * result.ratio,
                    ratio=result.ratio,
                )
                points.append(point)
                show(
                    f"{accelerator.label} batch size {batch_size:,}: {number(result.rate)} "
                    f"images/s, {result.ratio:.3f} of the run's"
                )
                if result.ratio < LEAST_GAIN * ratio:
                    end = "gain"
                    break
                ratio = result.ratio
    except OutOfMemory as error:
        end, reason = "memory", error.what
    except UserError as error:
        end, reason = "failed", str(error)
    return BatchCurve(points=tuple(points), end=end, reason=reason)


def _doublings(
    accelerator: Accelerator,
    parameters: Parameters,
    processes: tuple[TrainingProcess, TrainingProcess],
    seed: int,
) -> Iterator[tuple[int, PairResult]]:
    """Yield each doubled batch size with its rate and ratio, as long as the time lasts.

    A batch of k times the run's own takes its samples from k epochs. So it may be larger than the
    training split, and each size has equally many steps between two changes of epochs.

    Args:
        processes: the Trainer with the run's parameters, warm, and a process without a task.
        seed: seed of the orders of blocks.

    Raises:
        UserError: a process failed, or lacked memory (OutOfMemory).
    """
    reference, larger = processes
    batch_size, throughput = parameters.data.batch_size, parameters.throughput
    start = time.perf_counter()
    prefetched, turns = 2 * parameters.data.num_workers, DISCARDED + BLOCKS
    steps = FIRST_STEPS + prefetched + turns
    step, seconds = reference.step_seconds, reference.step_seconds * (steps + turns)
    for doublings in count(1):
        spent = time.perf_counter() - start
        # With twice the batch, a step takes at most about twice the time.
        if spent + seconds + steps * step > throughput.curve_seconds:
            return
        factor = 2**doublings
        point = make_point(parameters, {"batch_size": factor * batch_size})
        larger.warm_up(task(accelerator, point.parameters, epochs_per_pass=factor))
        images = batch_size, factor * batch_size
        result = compare_rates(processes, images, throughput.block_seconds, seed, doublings, BLOCKS)
        yield images[1], result
        step, seconds = larger.step_seconds, time.perf_counter() - start - spent


def _measure_best(
    accelerator: Accelerator, parameters: Parameters, batch_size: int, rate: Interval, seed: int
) -> BestBatch:
    """Measure a batch size in PAIRS new pairs of processes with the run's own.

    Raises:
        UserError: a process failed, or lacked memory.
    """
    point = make_point(parameters, {"batch_size": batch_size})
    pairs = measure_pairs(
        accelerator, parameters, f"batch size {batch_size:,}", point.parameters, seed,
        repeats=PAIRS, blocks=BLOCKS, epochs_per_pass=batch_size // parameters.data.batch_size,
    )  # fmt: skip
    ratio = interval([pair.ratio for pair in pairs])
    return BestBatch(
        batch_size=batch_size,
        images_per_second=rate.over(ratio.inverse),
        ratio=ratio,
        memory=largest([pair.memory for pair in pairs if pair.memory]),
    )

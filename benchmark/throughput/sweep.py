"""The combinations of values that a sweep tries, each in turns with the run's own parameters."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import benchmark
from benchmark.common import numbers
from benchmark.common.parameters import Parameters, SweepParameters, parse_parameters
from benchmark.common.progress import progress
from benchmark.common.statistics import interval
from benchmark.errors.user_error import UserError
from benchmark.interleave.pair import Turn, sample, take_turns
from benchmark.interleave.training_process import OutOfMemory, Side
from benchmark.machine.accelerators import Accelerator, check_devices
from benchmark.throughput import launch
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import NotMeasured, ProcessIndex, SweepPoint
from benchmark.timing.timer import steps_per_epoch
from benchmark.training.inputs import check

SECTIONS = {
    "batch_size": "data",
    "num_workers": "data",
    "precision": "train",
    "channels_last": "model",
    "compile": "model",
    "deterministic": "throughput",
    "devices": "trainer",
}
CODE = Path(benchmark.__path__[0]).parent


@dataclass(frozen=True)
class Point:
    """One combination: what it changes, and the parameters with that changed."""

    changes: dict[str, Any]
    parameters: Parameters

    @property
    def devices(self) -> int:
        """That train together; one, unless the sweep says otherwise."""
        found: int = self.changes.get("devices", 1)
        return found


@dataclass(frozen=True)
class PairResult:
    """What one pair of processes says of a point."""

    rate: float
    """Images per second, of all devices together."""
    ratio: float
    """The same over that of the run's own parameters."""


def points(parameters: Parameters) -> list[Point]:
    """Every combination of the sweep's values, only the trainer being measured; none without a
    sweep.

    Raises:
        UserError: two values contradict each other.
    """
    lists = {name: values for name, values in parameters.throughput.sweep if values}
    combinations = product(*lists.values()) if lists else []
    return [_point(parameters, dict(zip(lists, values, strict=True))) for values in combinations]


def measure(
    accelerator: Accelerator, parameters: Parameters, point: Point, seed: int
) -> SweepPoint:
    """A point's rate, and its ratio to that of the run's own parameters. What a point lacks, or
    how it fails, is a result as well, and no other point's loss."""
    try:
        check(accelerator.name, point.parameters.train)
        check_devices(accelerator.name, point.devices)
        steps_per_epoch(point.parameters, point.devices)
    except UserError as error:
        return SweepPoint(changes=point.changes, status="unavailable", reason=str(error))
    try:
        return _together_or_alone(accelerator, parameters, point, seed)
    except UserError as error:
        return SweepPoint(changes=point.changes, status="failed", reason=str(error))


def _together_or_alone(
    accelerator: Accelerator, parameters: Parameters, point: Point, seed: int
) -> SweepPoint:
    try:
        return _in_turns(accelerator, parameters, point, seed)
    except OutOfMemory as error:
        if point.devices > 1:
            return SweepPoint(changes=point.changes, status="out of memory", reason=error.what)
        return _alone(accelerator, point, ProcessIndex(seed, 0), error.what)


def _in_turns(
    accelerator: Accelerator, parameters: Parameters, point: Point, seed: int
) -> SweepPoint:
    """From as many pairs of processes as there are processes of the run's own, at least."""
    pairs = []
    repeats = parameters.throughput.repeats
    with progress(repeats, f"{accelerator.label} {point.changes}") as tell:
        for number in range(repeats):
            pairs.append(_pair(accelerator, parameters, point, (seed, number)))
            found = pairs[-1]
            said = f"{numbers.number(found.rate)} images/s, {found.ratio:.3f} of the run's own"
            tell(f"{accelerator.label} {point.changes}: {said}")
    return SweepPoint(
        changes=point.changes,
        status="ok",
        images_per_second=interval([pair.rate for pair in pairs]),
        ratio=interval([pair.ratio for pair in pairs]),
    )


def _pair(
    accelerator: Accelerator, parameters: Parameters, point: Point, place: tuple[int, int]
) -> PairResult:
    """A pair of the run's own process and the point's, or its processes.

    Raises:
        UserError: a graph was compiled in each block, or as Side.
    """
    both = (_only_the_trainer(parameters), point.parameters)
    with closing(Side("the run's own", CODE)) as own, closing(Side(str(point.changes), CODE)) as it:
        for side, used in zip((own, it), both, strict=True):
            side.warm_up(_task(accelerator, used, point.devices if side is it else 1))
        least = parameters.throughput.block_seconds
        steps = (ceil(least / own.step_seconds), ceil(least / it.step_seconds))
        turns = take_turns((own, it), steps, *place)
    images = [count * used.data.batch_size for count, used in zip(steps, both, strict=True)]
    return _sample(turns, (images[0], images[1] * point.devices))


def _task(accelerator: Accelerator, parameters: Parameters, devices: int) -> dict[str, Any]:
    return {
        "accelerator": accelerator.name,
        "parameters": parameters.model_dump(mode="json"),
        "devices": devices,
    }


def _sample(turns: Sequence[Turn], images: tuple[int, int]) -> PairResult:
    """Of blocks of so many images."""
    clean = [(own, it) for own, it in turns if not (own.compilations or it.compilations)]
    if not clean:
        raise UserError("A graph was compiled in each block.", "Raise throughput.warmup_steps.")
    rates = [(images[0] / own.seconds, images[1] / it.seconds) for own, it in clean]
    return PairResult(
        rate=median(rate for _, rate in rates),
        ratio=sample([rate / own for own, rate in rates]),
    )


def _alone(accelerator: Accelerator, point: Point, place: ProcessIndex, why: str) -> SweepPoint:
    """What does not fit beside the run's own process may fit alone; then it has no ratio.

    Raises:
        UserError: as launch.measure, or a graph was compiled in each block.
    """
    found = []
    for number in range(point.parameters.throughput.repeats):
        result = launch.measure(accelerator, point.parameters, place._replace(number=number))
        if isinstance(result, NotMeasured):
            return SweepPoint(changes=point.changes, status=result.status, reason=result.reason)
        found.append(ProcessRates(result, point.parameters.data.batch_size).rate("trainer"))
    return SweepPoint(
        changes=point.changes,
        status="ok",
        images_per_second=interval(found),
        reason=f"measured alone, so without a ratio: {why}",
    )


def _point(parameters: Parameters, changes: dict[str, Any]) -> Point:
    content = _only_the_trainer(parameters).model_dump()
    for name, value in changes.items():
        content[SECTIONS[name]][name] = value
    return Point(changes, parse_parameters(content, f"throughput.sweep at {changes}"))


def _only_the_trainer(parameters: Parameters) -> Parameters:
    measured = parameters.throughput.model_copy(
        update={"modes": ("trainer",), "sweep": SweepParameters()}
    )
    return parameters.model_copy(update={"throughput": measured})

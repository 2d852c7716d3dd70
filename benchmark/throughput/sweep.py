"""Measure the combinations of a sweep's values, in pairs with the run's parameters."""

from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmark.common.parameters import Parameters, parse_parameters
from benchmark.common.statistics import interval
from benchmark.errors.user_error import UserError
from benchmark.interleave.training_process import OutOfMemory
from benchmark.machine.accelerators import Accelerator, check_devices
from benchmark.throughput import run_process
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.pairs import measure_pairs, trainer_only
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


@dataclass(frozen=True)
class Point:
    """One combination of a sweep's values."""

    changes: dict[str, Any]
    """Value of each key of throughput.sweep."""
    parameters: Parameters
    """The run's parameters with these changes, and with the Trainer as the only mode."""

    @property
    def devices(self) -> int:
        """Number of devices that train together; 1 if the sweep does not have `devices`."""
        devices: int = self.changes.get("devices", 1)
        return devices


def points(parameters: Parameters) -> list[Point]:
    """Return every combination of the values of `throughput.sweep`; without a sweep, none.

    Raises:
        UserError: two values contradict each other.
    """
    lists = {name: values for name, values in parameters.throughput.sweep if values}
    combinations = product(*lists.values()) if lists else []
    return [
        make_point(parameters, dict(zip(lists, values, strict=True))) for values in combinations
    ]


def measure(
    accelerator: Accelerator, parameters: Parameters, point: Point, seed: int
) -> SweepPoint:
    """Measure a point's rate, and its ratio to the rate with the run's parameters.

    If the point cannot be measured, the result has the reason. `seed` is that of orders of blocks.
    """
    try:
        check(accelerator.name, point.parameters)
        check_devices(accelerator.name, point.devices)
        steps_per_epoch(point.parameters, point.devices)
    except UserError as error:
        return SweepPoint(changes=point.changes, status="unavailable", reason=str(error))
    try:
        name, devices = str(point.changes), point.devices
        pairs = measure_pairs(
            accelerator, parameters, name, point.parameters, seed, devices=devices
        )
    except OutOfMemory as error:
        if point.devices > 1:
            return SweepPoint(changes=point.changes, status="out of memory", reason=error.what)
        return _measure_alone(accelerator, point, seed, error.what)
    except UserError as error:
        return SweepPoint(changes=point.changes, status="failed", reason=str(error))
    return SweepPoint(
        changes=point.changes,
        status="ok",
        images_per_second=interval([pair.rate for pair in pairs]),
        ratio=interval([pair.ratio for pair in pairs]),
    )


def _measure_alone(accelerator: Accelerator, point: Point, seed: int, why: str) -> SweepPoint:
    """Measure a point that does not fit into memory together with the run's parameters.

    If it fits alone, the result has a rate but no ratio. `why` is the reason that is recorded.
    """
    rates = []
    try:
        for number in range(point.parameters.throughput.repeats):
            result = run_process.measure(accelerator, point.parameters, ProcessIndex(seed, number))
            if isinstance(result, NotMeasured):
                return SweepPoint(changes=point.changes, status=result.status, reason=result.reason)
            rates.append(ProcessRates(result, point.parameters.data.batch_size).rate("trainer"))
    except UserError as error:
        return SweepPoint(changes=point.changes, status="failed", reason=str(error))
    return SweepPoint(
        changes=point.changes,
        status="ok",
        images_per_second=interval(rates),
        reason=f"measured alone, so without a ratio: {why}",
    )


def make_point(parameters: Parameters, changes: dict[str, Any]) -> Point:
    """Return a point; the keys of `changes` are those of throughput.sweep.

    Raises:
        UserError: `changes` contradict `parameters`.
    """
    content = trainer_only(parameters).model_dump()
    for name, value in changes.items():
        content[SECTIONS[name]][name] = value
    return Point(changes, parse_parameters(content, f"throughput.sweep at {changes}"))

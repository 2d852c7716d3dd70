"""The throughput stage: how many images per second an accelerator trains, and how sure that is.

Several processes, one after another, each measure every mode (modes.py) in blocks that take
turns. A process is one sample: rates and ratios are medians over processes with 95 % intervals.
With a frozen backbone a step still runs the whole network, on augmented images: a rate of stored
features would say nothing.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmark.common.errors import UserError
from benchmark.common.parameters import Parameters
from benchmark.common.results import Results, write_result
from benchmark.data.datamodule import ImageDataModule
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.machine.processors import OtherLoad, warn_if_busy
from benchmark.throughput import launch, measurements, sweep
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Measurement, NotMeasured, SweepPoint
from benchmark.throughput.summary import summarise
from benchmark.throughput.timer import steps_per_epoch
from benchmark.training.train import check, gather_inputs


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: measure an accelerator that is here.

    Raises:
        UserError: as the training stage; the batch is larger than the training split, or does
            not fit into memory; a measuring process failed; or nothing ran without compiling.
    """
    check(accelerator.name, parameters.train)
    steps_per_epoch(parameters)
    points = sweep.points(parameters)
    inputs = gather_inputs(accelerator.name, parameters, "throughput")
    with measuring_lock():
        warn_if_busy()
        data = ImageDataModule(**parameters.data.model_dump())
        data.prepare_data()
        with OtherLoad() as load:
            found, swept = _measure(accelerator, parameters, points)
    result = summarise(accelerator, parameters, inputs, found, swept, load.share, len(data.classes))
    write_result(Results(accelerator.name).throughput, result)


def _measure(
    accelerator: Accelerator, parameters: Parameters, points: Sequence[sweep.Point]
) -> tuple[list[ProcessRates], list[SweepPoint]]:
    """One process for the run's own parameters and for each point of the sweep, in turn."""
    found: list[ProcessRates] = []
    swept: list[list[Measurement | NotMeasured]] = [[] for _ in points]
    for number in _counted(parameters.throughput.repeats, accelerator.label):
        found.append(_own(accelerator, parameters, number))
        _say(f"{accelerator.label} process {number + 1}: {found[-1].rate('trainer'):.1f} images/s")
        for point, results in zip(points, swept, strict=True):
            if all(isinstance(result, Measurement) for result in results):
                results.append(_swept(accelerator, point, number))
    pairs = zip(points, swept, strict=True)
    return found, [_summary(point, results) for point, results in pairs]


def _own(accelerator: Accelerator, parameters: Parameters, number: int) -> ProcessRates:
    found = launch.measure(accelerator, parameters, number)
    if isinstance(found, Measurement):
        return ProcessRates(found, parameters.data.batch_size)
    if found.status == "refused":
        raise UserError(f"{accelerator.label}:", found.reason)
    raise UserError(
        f"{accelerator.label}: out of memory with data.batch_size = "
        f"{parameters.data.batch_size} ({found.reason}).",
        "Lower it.",
    )


def _swept(accelerator: Accelerator, point: sweep.Point, number: int) -> Measurement | NotMeasured:
    """What a point lacks, or how it fails, is a result as well, and no other point's loss."""
    try:
        check(accelerator.name, point.parameters.train)
        steps_per_epoch(point.parameters)
    except UserError as error:
        return NotMeasured(status="unavailable", reason=str(error))
    try:
        return launch.measure(accelerator, point.parameters, number)
    except UserError as error:
        return NotMeasured(status="failed", reason=str(error))


def _summary(point: sweep.Point, results: Sequence[Measurement | NotMeasured]) -> SweepPoint:
    last = results[-1]
    if isinstance(last, NotMeasured):
        return SweepPoint(changes=point.changes, status=last.status, reason=last.reason)
    measured = [result for result in results if isinstance(result, Measurement)]
    found = [ProcessRates(each, point.parameters.data.batch_size) for each in measured]
    try:
        rate = measurements.rates(found)["trainer"]
    except UserError as error:
        return SweepPoint(changes=point.changes, status="failed", reason=str(error))
    return SweepPoint(
        changes=point.changes, status="ok", images_per_second=rate, processes=tuple(measured)
    )


def _counted(repeats: int, label: str) -> Any:
    console = Console(stderr=True)
    return track(
        range(repeats), f"Measuring {label}", console=console, disable=not console.is_terminal
    )


def _say(line: str) -> None:
    """Where there is no progress bar."""
    if not Console(stderr=True).is_terminal:
        print(line, flush=True)

"""The throughput stage: how many images per second an accelerator trains, and how sure that is.

Several processes, one after another, each measure every mode (modes.py) in blocks that take
turns. A process is one sample: rates and ratios are means over processes with 95 % intervals.
With a frozen backbone a step still runs the whole network, on augmented images: a rate of stored
features would say nothing.
"""

import secrets
import time

from benchmark.common.numbers import number
from benchmark.common.parameters import Parameters
from benchmark.common.progress import progress
from benchmark.common.results import ResultPaths, write_result
from benchmark.common.temporary import room_for
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.machine.processors import warn_if_busy
from benchmark.machine.sensors import warn_if_gpu_is_busy
from benchmark.throughput import launch, measurements, sweep, verdict
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import IntervalWidth, Measurement, ProcessIndex
from benchmark.throughput.summary import RawMeasurements, summarise
from benchmark.timing.timer import steps_per_epoch
from benchmark.training.fit import data_module
from benchmark.training.inputs import check, take_fingerprints


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: measure an accelerator that is here.

    Raises:
        UserError: as the training stage; the batch is larger than the training split, or does
            not fit into memory; a measuring process failed; or nothing ran without compiling.
    """
    check(accelerator.name, parameters.train)
    steps_per_epoch(parameters)
    points = sweep.points(parameters)
    inputs = take_fingerprints(accelerator.name, parameters, "throughput")
    path = ResultPaths(accelerator.name).throughput
    with room_for(path), measuring_lock():
        warn_if_busy()
        warn_if_gpu_is_busy(accelerator.name)
        data = data_module(parameters)
        data.prepare_data()
        seed = secrets.randbelow(2**32)
        start = time.perf_counter()
        processes = _measure(accelerator, parameters, seed)
        seconds = time.perf_counter() - start
        profile = launch.profile(accelerator, parameters)
        swept = [sweep.measure(accelerator, parameters, point, seed) for point in points]
    found = RawMeasurements(processes, profile, swept, seconds, seed)
    result = summarise(accelerator, parameters, inputs, found, len(data.classes))
    write_result(path, result)


def _measure(accelerator: Accelerator, parameters: Parameters, seed: int) -> list[ProcessRates]:
    """Process after process, until there are enough."""
    found: list[ProcessRates] = []
    start = time.perf_counter()
    label = accelerator.label
    with progress(parameters.throughput.repeats, f"Measuring {label}") as tell:
        while _more(found, parameters, time.perf_counter() - start):
            found.append(_process(accelerator, parameters, ProcessIndex(seed, len(found))))
            rate = found[-1].rate("trainer")
            tell(
                f"{label} process {len(found)}: {number(rate)} images/s{_width(found, parameters)}"
            )
    return found


def _more(found: list[ProcessRates], parameters: Parameters, seconds: float) -> bool:
    """Whether a further process is needed, and its time is there."""
    asked = parameters.throughput
    if len(found) < asked.repeats:
        return True
    another = seconds / len(found)
    return not _interval_width(found, parameters).met and seconds + another <= asked.budget_seconds


def _interval_width(found: list[ProcessRates], parameters: Parameters) -> IntervalWidth:
    rate, ratios = measurements.rates(found)["trainer"], measurements.ratios(found)
    return verdict.interval_width(rate, ratios, parameters.throughput.width, 0.0)


def _width(found: list[ProcessRates], parameters: Parameters) -> str:
    """How precise it is so far, in words."""
    if len(found) < 2:
        return ""
    known = _interval_width(found, parameters)
    return f"; interval of {known.widest} {known.width:.1%} wide"


def _process(accelerator: Accelerator, parameters: Parameters, place: ProcessIndex) -> ProcessRates:
    found = launch.measure(accelerator, parameters, place)
    if isinstance(found, Measurement):
        return ProcessRates(found, parameters.data.batch_size)
    if found.status == "refused":
        raise UserError(f"{accelerator.label}:", found.reason)
    raise UserError(
        f"{accelerator.label}: out of memory with data.batch_size = "
        f"{parameters.data.batch_size} ({found.reason}).",
        "Lower it.",
    )

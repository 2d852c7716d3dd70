"""The throughput stage: how many images per second an accelerator trains, with an interval.

Several processes run one after another; each measures all modes, in blocks that alternate. One
process is one sample: rates and ratios are geometric means over processes with 95 % intervals. Then
points of a sweep, larger batches and peers are measured, in pairs of processes. With a frozen
backbone a step still runs the complete network on augmented images: a rate of stored features would
not be comparable.
"""

import secrets
import time

from benchmark.common.modes import PEERS
from benchmark.common.numbers import number
from benchmark.common.parameters import Parameters
from benchmark.common.progress import progress
from benchmark.common.results import ResultPaths, write_result
from benchmark.common.temporary import reserve_space
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.lock import measuring_lock
from benchmark.machine.processors import warn_if_busy
from benchmark.machine.sensors import warn_if_gpu_is_busy
from benchmark.throughput import batch_curve, measurements, peer_speed, run_process, sweep, verdict
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import IntervalWidth, Measurement, ProcessIndex
from benchmark.throughput.summary import RawMeasurements, summarise
from benchmark.timing.timer import steps_per_epoch
from benchmark.training.fit import data_module
from benchmark.training.inputs import check, take_fingerprints


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """Measure an accelerator that is available, and write the stage's result.

    Holds the measuring lock, and warns if other work runs.

    Raises:
        UserError: the accelerator does not support the parameters; the data or weights are not
            usable; the batch is larger than the training split or does not fit into memory; a
            measuring process failed; or a graph was compiled in each block.
    """
    check(accelerator.name, parameters)
    steps_per_epoch(parameters)
    points = sweep.points(parameters)
    inputs = take_fingerprints(accelerator.name, parameters, "throughput")
    path = ResultPaths(accelerator.name).throughput
    with reserve_space(path), measuring_lock():
        warn_if_busy()
        warn_if_gpu_is_busy(accelerator.name)
        data = data_module(parameters)
        data.prepare_data()
        seed = secrets.randbelow(2**32)
        start = time.perf_counter()
        processes = _measure(accelerator, parameters, seed)
        seconds = time.perf_counter() - start
        measured = RawMeasurements(
            processes,
            run_process.profile(accelerator, parameters),
            [sweep.measure(accelerator, parameters, point, seed) for point in points],
            batch_curve.measure(
                accelerator, parameters, measurements.rates(processes)["trainer"], seed
            ),
            {
                name: peer_speed.measure(accelerator, parameters, name, seed)
                for name in parameters.throughput.modes
                if name in PEERS
            },
            seconds,
            seed,
        )
    result = summarise(accelerator, parameters, inputs, measured, len(data.classes))
    write_result(path, result)


def _measure(accelerator: Accelerator, parameters: Parameters, seed: int) -> list[ProcessRates]:
    """Run measuring processes one after another, until the intervals are narrow or time is up."""
    processes: list[ProcessRates] = []
    start = time.perf_counter()
    label = accelerator.label
    with progress(parameters.throughput.repeats, f"Measuring {label}") as show:
        while _needs_more(processes, parameters, time.perf_counter() - start):
            process = _process(accelerator, parameters, ProcessIndex(seed, len(processes)))
            processes.append(process)
            line = f"{label} process {len(processes)}: {number(process.rate('trainer'))} images/s"
            if len(processes) > 1:
                widest = _interval_width(processes, parameters)
                line += f"; interval of {widest.widest} {widest.width:.1%} wide"
            show(line)
    return processes


def _needs_more(processes: list[ProcessRates], parameters: Parameters, seconds: float) -> bool:
    """Return whether another process is needed and the time budget has room for it."""
    throughput, count = parameters.throughput, len(processes)
    if count < throughput.repeats:
        return True
    if _interval_width(processes, parameters).met:
        return False
    return seconds + seconds / count <= throughput.budget_seconds


def _interval_width(processes: list[ProcessRates], parameters: Parameters) -> IntervalWidth:
    rate, ratios = measurements.rates(processes)["trainer"], measurements.ratios(processes)
    return verdict.interval_width(rate, ratios, parameters.throughput.width, 0.0)


def _process(accelerator: Accelerator, parameters: Parameters, index: ProcessIndex) -> ProcessRates:
    result = run_process.measure(accelerator, parameters, index)
    if isinstance(result, Measurement):
        return ProcessRates(result, parameters.data.batch_size)
    if result.status == "refused":
        raise UserError(f"{accelerator.label}:", result.reason)
    raise UserError(
        f"{accelerator.label}: out of memory with data.batch_size = "
        f"{parameters.data.batch_size} ({result.reason}).",
        "Lower it.",
    )

"""The result of the throughput stage, from what its measuring processes found."""

from collections.abc import Sequence
from statistics import median

from benchmark.common.parameters import Parameters
from benchmark.common.statistics import Interval, interval, percentiles
from benchmark.machine.accelerators import Accelerator
from benchmark.throughput import efficiency, measurements
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import (
    Efficiency,
    Energy,
    Memory,
    ModeRate,
    SweepPoint,
    Throughput,
    TrainerTimes,
    Workload,
)
from benchmark.throughput.verdict import judge, unsteady_modes
from benchmark.training.schema import Inputs

RESOLUTION = 1e-6
"""Seconds and joules below which a difference means nothing: no counter tells them apart."""


def summarise(
    accelerator: Accelerator,
    parameters: Parameters,
    inputs: Inputs,
    processes: Sequence[ProcessRates],
    sweep: Sequence[SweepPoint],
    other_work: float,
    classes: int,
) -> Throughput:
    """The stage's result.

    Args:
        accelerator: what was measured.
        parameters: with which.
        inputs: digests of the data, the weights and the code.
        processes: the speeds of each measuring process.
        sweep: the results of its points.
        other_work: part of the processors' time that other work took.
        classes: of the dataset.

    Raises:
        UserError: nothing ran without compiling.
    """
    rates, ratios = measurements.rates(processes), measurements.ratios(processes)
    floor = measurements.noise_floor(processes)
    unsteady = unsteady_modes(processes)
    return Throughput(
        accelerator=accelerator.label,
        device=accelerator.device,
        verdict=judge(rates["trainer"], ratios, floor, unsteady, other_work),
        workload=workload(parameters, inputs.code, inputs.weights),
        dataset=inputs.dataset,
        modes={name: ModeRate(images_per_second=rate) for name, rate in rates.items()},
        ratios=ratios,
        noise_floor=floor,
        trainer=_trainer(processes),
        other_work=round(other_work, 4),
        efficiency=_efficiency(accelerator, parameters, processes, classes),
        sweep=tuple(sweep),
        processes=tuple(process.measurement for process in processes),
    )


def workload(parameters: Parameters, code: str, weights: str) -> Workload:
    """What must be equal for two throughputs to be compared: the parameters that matter, and
    digests of the code and the weights, whose file may lie elsewhere on another machine."""
    model, data, train = parameters.model, parameters.data, parameters.train
    return Workload(
        network="resnet50",
        weights=weights,
        **model.model_dump(exclude={"weights"}),
        **data.model_dump(include={"image_size", "batch_size", "num_workers", "cache_gib"}),
        **train.model_dump(include={"precision", "fused"}),
        code=code,
    )


def _trainer(processes: Sequence[ProcessRates]) -> TrainerTimes:
    """What else is known of the Trainer: its steps, its start, and what Lightning adds."""
    found = [process.measurement for process in processes]
    singles = [seconds for each in found for seconds in each.step_seconds]
    return TrainerTimes(
        step_seconds=percentiles(singles) if len(singles) > 1 else {},
        first_step_seconds=_seconds([each.first_step_seconds for each in found]),
        compile_seconds=median(each.compile_seconds for each in found),
        lightning_seconds_per_step=_seconds([each.overhead.seconds_per_step for each in found]),
        lightning_seconds_per_epoch=_seconds([each.overhead.seconds_per_epoch for each in found]),
    )


def _seconds(values: Sequence[float]) -> Interval:
    return interval([max(value, RESOLUTION) for value in values])


def _efficiency(
    accelerator: Accelerator,
    parameters: Parameters,
    processes: Sequence[ProcessRates],
    classes: int,
) -> Efficiency:
    flops = efficiency.flops_per_image(parameters, classes)
    found = [process.measurement for process in processes]
    achieved = [flops * process.rate("trainer") for process in processes]
    peaks = [each.peak.flops_per_second for each in found]
    return Efficiency(
        flops_per_image=flops,
        flops_per_second=interval(achieved),
        peak_flops_per_second=interval(peaks),
        peak_of=found[0].peak.of,
        utilisation=interval([a / b for a, b in zip(achieved, peaks, strict=True)]),
        data_wait_share={
            mode: median(process.share_waited(mode) for process in processes)
            for mode in found[0].waited_seconds
        },
        peak_memory=_memory([each.memory for each in found]),
        energy=_energy(processes),
        decoded_per_second=_decoded(processes),
        decoded_over_baseline_input=_decoded_over_baseline(processes),
        cost_per_million_images=_cost(accelerator, parameters, processes),
    )


def _memory(memories: Sequence[Memory]) -> Memory:
    """The most of all processes; each holds one network and one optimizer."""
    devices = [memory.device_bytes for memory in memories if memory.device_bytes is not None]
    return Memory(
        host_bytes=max(memory.host_bytes for memory in memories),
        device_bytes=max(devices) if len(devices) == len(memories) else None,
        device_reason=next((m.device_reason for m in memories if m.device_reason), None),
    )


def _energy(processes: Sequence[ProcessRates]) -> Energy:
    """Of one image of the Trainer's blocks."""
    readings = [process.measurement.energy for process in processes]
    reason = next((reading.reason for reading in readings if reading.reason), None)
    if reason:
        return Energy(reason=reason)
    pairs = zip(readings, processes, strict=True)
    each = [(reading.joules or 0.0) / process.trainer_images for reading, process in pairs]
    return Energy(joules_per_image=interval([max(joules, RESOLUTION) for joules in each]))


def _decoded(processes: Sequence[ProcessRates]) -> Interval | None:
    """Images per second while the decode cache is built, which happens once."""
    rates = [process.measurement.decoded_per_second for process in processes]
    known = [rate for rate in rates if rate]
    return interval(known) if len(known) > 1 else None


def _decoded_over_baseline(processes: Sequence[ProcessRates]) -> Interval | None:
    """The same over the rate of ImageFolder, which decodes in each epoch."""
    ratios = [
        process.measurement.decoded_per_second / process.rate("baseline_input")
        for process in processes
        if process.measurement.decoded_per_second and "baseline_input" in process.modes
    ]
    return interval(ratios) if len(ratios) > 1 else None


def _cost(
    accelerator: Accelerator, parameters: Parameters, processes: Sequence[ProcessRates]
) -> Interval | None:
    """Of a million images, where the accelerator has a price."""
    prices = {str(name): price for name, price in parameters.throughput.price_per_hour.items()}
    if accelerator.name not in prices:
        return None
    price = prices[accelerator.name]
    return interval([price / 3600 * 1e6 / process.rate("trainer") for process in processes])

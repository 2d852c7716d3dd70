"""The result of the throughput stage, from what its measuring processes found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from benchmark.common.parameters import Parameters
from benchmark.common.statistics import Interval, interval, percentiles
from benchmark.machine import accelerators, variables
from benchmark.machine.accelerators import Accelerator
from benchmark.throughput import efficiency, measurements, verdict
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import (
    Efficiency,
    Energy,
    Memory,
    ModeRate,
    Peak,
    Profile,
    Runtime,
    SweepPoint,
    Throughput,
    TrainerTimes,
    Workload,
)
from benchmark.timing.schema import PeerStatus
from benchmark.training import adam
from benchmark.training.schema import Fingerprints

RESOLUTION = 1e-6
"""Joules below which a difference means nothing: no counter tells them apart."""


@dataclass(frozen=True)
class RawMeasurements:
    """What the stage's processes found."""

    processes: Sequence[ProcessRates]
    profile: Profile
    sweep: Sequence[SweepPoint]
    seconds: float
    """What the measuring processes took."""
    seed: int
    """Of the orders of blocks."""


def summarise(
    accelerator: Accelerator,
    parameters: Parameters,
    inputs: Fingerprints,
    measured: RawMeasurements,
    classes: int,
) -> Throughput:
    """The stage's result.

    Args:
        accelerator: what was measured.
        parameters: with which.
        inputs: digests of the data, the weights and the code.
        measured: by its processes.
        classes: of the dataset.

    Raises:
        UserError: nothing ran without compiling.
    """
    processes = measured.processes
    rates, ratios = measurements.rates(processes), measurements.ratios(processes)
    floor = measurements.noise_floor(processes)
    others = max(process.measurement.other_work for process in processes)
    return Throughput(
        accelerator=accelerator.label,
        device=accelerator.device,
        verdict=verdict.judge(
            floor, verdict.unsteady_modes(processes), others, verdict.slowed_by(processes)
        ),
        interval_width=verdict.interval_width(
            rates["trainer"], ratios, parameters.throughput.width, round(measured.seconds, 1)
        ),
        workload=workload(parameters, inputs.code, inputs.weights),
        runtime=_runtime(accelerator, parameters),
        dataset=inputs.dataset,
        modes={name: ModeRate(images_per_second=rate) for name, rate in rates.items()},
        ratios=ratios,
        noise_floor=floor,
        trainer=_trainer(processes, measured.profile),
        other_work=others,
        seed=measured.seed,
        date=datetime.now(UTC).date().isoformat(),
        efficiency=_efficiency(parameters, measured, classes),
        sweep=tuple(measured.sweep),
        peers=_peers(processes),
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
        **train.model_dump(include={"precision", "adam"}),
        deterministic=parameters.throughput.deterministic,
        code=code,
    )


def _runtime(accelerator: Accelerator, parameters: Parameters) -> Runtime:
    """The measuring processes have this one's variables."""
    kind = accelerators.device(accelerator.name).type
    return Runtime(
        adam=adam.implementation(parameters.train.adam, kind),
        wait_policy=variables.wait_policy(),
        huge_pages=variables.huge_pages(),
    )


def _trainer(processes: Sequence[ProcessRates], profile: Profile) -> TrainerTimes:
    """What else is known of the Trainer: its steps, its start, and what Lightning adds."""
    found = [process.measurement for process in processes]
    singles = [seconds for each in found for seconds in each.step_seconds]
    return TrainerTimes(
        undisturbed_images_per_second=interval([each.undisturbed() for each in processes]),
        step_seconds=percentiles(singles) if len(singles) > 1 else {},
        step_shares=measurements.step_shares(processes),
        first_step_seconds=interval([each.first_step_seconds for each in found]),
        compile_seconds=median(each.compile_seconds for each in found),
        overhead=profile.overhead,
    )


def _efficiency(parameters: Parameters, measured: RawMeasurements, classes: int) -> Efficiency:
    flops, peak = efficiency.flops_per_image(parameters, classes), measured.profile.peak
    achieved = [flops * process.rate("trainer") for process in measured.processes]
    known = peak if isinstance(peak, Peak) else None
    return Efficiency(
        flops_per_image=flops,
        flops_per_second=interval(achieved),
        peak=peak,
        utilisation=_part(achieved, known.flops_per_second if known else None),
        vendor_utilisation=_part(achieved, known.vendor_flops_per_second if known else None),
        peak_memory=_memory([process.measurement.memory for process in measured.processes]),
        energy=_energy(measured.processes),
        decoding=measured.profile.decoding,
    )


def _peers(processes: Sequence[ProcessRates]) -> dict[str, PeerStatus]:
    """Each as the processes found it; as one that did not measure it, if there is one."""
    found = [process.measurement.peers for process in processes]
    return {name: max((peers[name] for peers in found), key=_is_refused) for name in found[0]}


def _is_refused(peer: PeerStatus) -> bool:
    return peer.reason is not None


def _part(achieved: Sequence[float], most: float | None) -> Interval | None:
    return interval([each / most for each in achieved]) if most else None


def _memory(memories: Sequence[Memory]) -> Memory:
    """The most of all processes; each holds one network and one optimizer."""
    devices = [memory.device_bytes for memory in memories if memory.device_bytes is not None]
    return Memory(
        host_bytes=max(memory.host_bytes for memory in memories),
        device_bytes=max(devices) if len(devices) == len(memories) else None,
        device_reason=next((m.device_reason for m in memories if m.device_reason), None),
    )


def _energy(processes: Sequence[ProcessRates]) -> Energy:
    """Of one image that the Trainer trains on."""
    readings = [process.measurement.energy for process in processes]
    reason = next((reading.reason for reading in readings if reading.reason), None)
    if reason:
        return Energy(reason=reason)
    pairs = zip(readings, processes, strict=True)
    each = [(found.joules or 0.0) / (found.steps * it.batch_size) for found, it in pairs]
    return Energy(joules_per_image=interval([max(joules, RESOLUTION) for joules in each]))

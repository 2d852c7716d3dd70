"""Compute the result of the throughput stage from the results of its processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from benchmark.common.parameters import Parameters
from benchmark.common.statistics import Interval, interval, percentiles
from benchmark.machine import accelerators, variables
from benchmark.machine.accelerators import Accelerator
from benchmark.machine.memory import largest
from benchmark.throughput import measurements, verdict
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.peer_speed import PeerSpeed
from benchmark.throughput.profile import flops_per_image
from benchmark.throughput.schema import (
    BatchCurve,
    Efficiency,
    Energy,
    ModeRate,
    Peak,
    Profile,
    Runtime,
    SweepPoint,
    Throughput,
    TrainerTimes,
    Workload,
)
from benchmark.training import adam
from benchmark.training.schema import Fingerprints

RESOLUTION = 1e-6
"""Smallest energy of an image in joules: no counter distinguishes less, and a rate is above 0."""


@dataclass(frozen=True)
class RawMeasurements:
    """Results of all processes of the stage."""

    processes: Sequence[ProcessRates]
    profile: Profile
    sweep: Sequence[SweepPoint]
    curve: BatchCurve | None
    peers: Mapping[str, PeerSpeed]
    """Speed of each measured peer, by the peer's name."""
    seconds: float
    """Wall time of the measuring processes, without profile, sweep, curve and peers."""
    seed: int
    """Seed of the orders of blocks."""


def summarise(
    accelerator: Accelerator,
    parameters: Parameters,
    inputs: Fingerprints,
    measured: RawMeasurements,
    classes: int,
) -> Throughput:
    """Return the stage's result. `classes` is the number of classes in the dataset.

    Raises:
        UserError: a graph was compiled in each block.
    """
    processes = measured.processes
    kind = accelerators.device(accelerator.name).type
    workers = [process.measurement.capped_workers for process in processes]
    capped = [count for count in workers if count is not None]
    rates, ratios = measurements.rates(processes), measurements.ratios(processes)
    modes, all_ratios = {**rates}, {**ratios}
    for name, peer in measured.peers.items():
        if peer.rate and peer.ratio:
            modes[name], all_ratios[f"trainer_over_{name}"] = peer.rate, peer.ratio
    floor = measurements.noise_floor(processes)
    other_work = max(process.measurement.other_work for process in processes)
    return Throughput(
        accelerator=accelerator.label,
        device=accelerator.device,
        verdict=verdict.judge(
            floor, verdict.unsteady_modes(processes), other_work, verdict.slowed_by(processes)
        ),
        interval_width=verdict.interval_width(
            rates["trainer"], ratios, parameters.throughput.width, round(measured.seconds, 1)
        ),
        workload=workload(parameters, inputs.code, inputs.weights),
        # Measuring processes inherit this process's environment.
        runtime=Runtime(
            adam=adam.implementation(parameters.train.adam, kind),
            wait_policy=variables.wait_policy(),
            huge_pages=variables.huge_pages(),
            capped_workers=min(capped, default=None),
        ),
        dataset=inputs.dataset,
        modes={name: ModeRate(images_per_second=rate) for name, rate in modes.items()},
        ratios=all_ratios,
        noise_floor=floor,
        trainer=_trainer(processes, measured.profile),
        other_work=other_work,
        seed=measured.seed,
        date=datetime.now(UTC).date().isoformat(),
        efficiency=_efficiency(parameters, measured, classes),
        sweep=tuple(measured.sweep),
        curve=measured.curve,
        peers={name: peer.status for name, peer in measured.peers.items()},
        processes=tuple(process.measurement for process in processes),
    )


def workload(parameters: Parameters, code: str, weights: str) -> Workload:
    """Return what must be equal for two throughputs to be compared.

    `code` and `weights` are digests: the path of the weights' file may differ between machines.
    """
    model, data, train = parameters.model, parameters.data, parameters.train
    return Workload(
        network=model.architecture,
        weights=weights,
        **model.model_dump(exclude={"architecture", "weights"}),
        **data.model_dump(include={"image_size", "batch_size", "num_workers", "cache_gib"}),
        **train.model_dump(include={"precision", "adam"}),
        deterministic=parameters.throughput.deterministic,
        code=code,
    )


def _trainer(processes: Sequence[ProcessRates], profile: Profile) -> TrainerTimes:
    results = [process.measurement for process in processes]
    steps = [seconds for result in results for seconds in result.step_seconds]
    return TrainerTimes(
        undisturbed_images_per_second=interval([process.undisturbed() for process in processes]),
        step_seconds=percentiles(steps) if len(steps) > 1 else {},
        step_shares=measurements.step_shares(processes),
        first_step_seconds=interval([result.first_step_seconds for result in results]),
        compile_seconds=median(result.compile_seconds for result in results),
        overhead=profile.overhead,
    )


def _efficiency(parameters: Parameters, measured: RawMeasurements, classes: int) -> Efficiency:
    flops, peak = flops_per_image(parameters, classes), measured.profile.peak
    achieved = [flops * process.rate("trainer") for process in measured.processes]
    best, vendor = None, None
    if isinstance(peak, Peak):
        best, vendor = peak.flops_per_second, peak.vendor_flops_per_second
    return Efficiency(
        flops_per_image=flops,
        flops_per_second=interval(achieved),
        peak=peak,
        utilisation=_fraction(achieved, best),
        vendor_utilisation=_fraction(achieved, vendor),
        peak_memory=largest([process.measurement.memory for process in measured.processes]),
        energy=_energy(measured.processes),
        decoding=measured.profile.decoding,
    )


def _fraction(achieved: Sequence[float], peak: float | None) -> Interval | None:
    return interval([flops / peak for flops in achieved]) if peak else None


def _energy(processes: Sequence[ProcessRates]) -> Energy:
    """Return the Trainer's energy per image, over processes, or why it is not known."""
    readings = [process.measurement.energy for process in processes]
    reason = next((reading.reason for reading in readings if reading.reason), None)
    if reason:
        return Energy(reason=reason)
    joules = [
        (reading.joules or 0.0) / (reading.steps * process.batch_size)
        for reading, process in zip(readings, processes, strict=True)
    ]
    return Energy(joules_per_image=interval([max(value, RESOLUTION) for value in joules]))

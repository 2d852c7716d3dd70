"""Judge whether something disturbed a measurement, and how wide its intervals are."""

from collections.abc import Iterator, Mapping, Sequence, Set

from benchmark.common.modes import MODES, RATIOS
from benchmark.common.statistics import Interval
from benchmark.machine.processors import disturbs
from benchmark.machine.schema import POWER_LIMIT
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import IntervalWidth, MeasurementVerdict

DRIFT = 0.01
"""Distance from 1 that the noise floor's interval may have: even undisturbed, 1 of 20 intervals
does not contain 1."""


def judge(
    floor: Interval, unsteady: Sequence[str], other_work: float, slowed_by: Set[str]
) -> MeasurementVerdict:
    """Return whether a measurement is stable; if not, its first disturbance with advice.

    Args:
        floor: the noise floor: the ratio of the Trainer's two blocks.
        unsteady: modes whose warm-up ended, in some process, before step times were steady.
        other_work: fraction of the processors' time that other work took.
        slowed_by: reasons why a GPU's clock was low. Its power limit is not a disturbance.
    """
    for reason, advice in _reasons(floor, unsteady, other_work, slowed_by - {POWER_LIMIT}):
        return MeasurementVerdict(stable=False, reason=reason, advice=advice)
    return MeasurementVerdict(stable=True)


def interval_width(
    rate: Interval, ratios: Mapping[str, Interval], target: float, seconds: float
) -> IntervalWidth:
    """Return the widest interval of the Trainer's rate and of ratios of modes that train.

    Ratios of modes that only load are left out: loading is some hundred times faster than training.

    Args:
        rate: the Trainer's rate.
        ratios: ratios of modes, by key.
        target: width at which a run may stop.
        seconds: wall time of all measuring processes, which is recorded.
    """
    training = {key: ratio for key, ratio in ratios.items() if MODES[RATIOS[key][0]].trains}
    widest, interval = max(
        {"trainer": rate, **training}.items(), key=lambda item: item[1].relative_width
    )
    return IntervalWidth(
        widest=widest, width=interval.relative_width, target=target, seconds=seconds
    )


def unsteady_modes(processes: Sequence[ProcessRates]) -> list[str]:
    """Return the modes that train and whose step times were unsteady after some warm-up.

    Modes that only load are left out: their batches come in bursts.
    """
    warmups = [process.measurement.warmup for process in processes]
    training = [mode for mode in processes[0].modes if MODES[mode].trains]
    return [mode for mode in training if not all(warmup[mode].steady for warmup in warmups)]


def slowed_by(processes: Sequence[ProcessRates]) -> set[str]:
    """Return the reasons why a GPU's clock was low in any of the processes."""
    logs = [process.measurement.gpu_clocks for process in processes]
    return {reason for clocks in logs if clocks for reason in clocks.slowed_by}


def _reasons(
    floor: Interval, unsteady: Sequence[str], other_work: float, slowed: Set[str]
) -> Iterator[tuple[str, str]]:
    """Yield each disturbance with its advice."""
    if slowed:
        what = " and ".join(sorted(slowed))
        yield f"the GPU's clock was kept low ({what})", "cool it, and see to its power supply"
    if disturbs(other_work):
        yield f"other work took {100 * other_work:.2g}% of the processors", "end it and repeat"
    if unsteady:
        yield (
            f"the warm-up of {' and '.join(unsteady)} ended before step times were steady",
            "raise throughput.warmup_steps",
        )
    if floor.low > 1 + DRIFT or floor.high < 1 - DRIFT:
        yield (
            f"the trainer against itself is {floor.low:.3f} to {floor.high:.3f}",
            "raise throughput.rounds",
        )

"""Whether something disturbed a measurement, and if so, what it was and what to do; and whether
its intervals are as narrow as they were asked to be."""

from collections.abc import Iterator, Mapping, Sequence, Set

from benchmark.common.statistics import Interval
from benchmark.machine.processors import disturbs
from benchmark.machine.schema import POWER_LIMIT
from benchmark.throughput import measurements
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import IntervalWidth, MeasurementVerdict

DRIFT = 0.01
"""How far from 1 the noise floor may lie: one in twenty sound intervals does not hold 1."""


def judge(
    floor: Interval, unsteady: Sequence[str], others: float, slowed_by: Set[str]
) -> MeasurementVerdict:
    """The first thing that disturbed a measurement, or that nothing did.

    Args:
        floor: the noise floor, the Trainer against itself.
        unsteady: modes whose warm-up ended, in some process, before step times were steady.
        others: part of the processors' time that other work took.
        slowed_by: what kept a GPU's clock low. At its power limit it is as it was bought.
    """
    for reason, advice in _reasons(floor, unsteady, others, slowed_by - {POWER_LIMIT}):
        return MeasurementVerdict(stable=False, reason=reason, advice=advice)
    return MeasurementVerdict(stable=True)


def interval_width(
    rate: Interval, ratios: Mapping[str, Interval], target: float, seconds: float
) -> IntervalWidth:
    """The widest interval of the Trainer's rate and of ratios of modes that train.

    Ratios of loaders are left out: a loader's rate is some hundred times that of training steps.
    """
    training = {name: ratio for name, ratio in ratios.items() if not name.startswith("input_")}
    widest, interval = max(
        {"trainer": rate, **training}.items(), key=lambda item: item[1].relative_width
    )
    return IntervalWidth(
        widest=widest, width=interval.relative_width, target=target, seconds=seconds
    )


def unsteady_modes(processes: Sequence[ProcessRates]) -> list[str]:
    """Modes that train and were not steady. A loader alone comes in bursts, whatever it is."""
    warmups = [process.measurement.warmup for process in processes]
    trains = [mode for mode in measurements.modes(processes) if not mode.endswith("input")]
    return [mode for mode in trains if not all(warmup[mode].steady for warmup in warmups)]


def slowed_by(processes: Sequence[ProcessRates]) -> set[str]:
    """What kept a GPU's clock low in any of the processes."""
    clocks = [process.measurement.gpu_clocks for process in processes]
    return {reason for found in clocks if found for reason in found.slowed_by}


def _reasons(
    floor: Interval, unsteady: Sequence[str], others: float, slowed: Set[str]
) -> Iterator[tuple[str, str]]:
    """Each reason with its advice."""
    if slowed:
        what = " and ".join(sorted(slowed))
        yield f"the GPU's clock was kept low ({what})", "cool it, and see to its power supply"
    if disturbs(others):
        yield f"other work took {100 * others:.2g}% of the processors", "end it and repeat"
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

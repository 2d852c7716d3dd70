"""Judge whether something disturbed a measurement, and how wide its intervals are."""

from collections.abc import Mapping, Sequence, Set

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

    `floor` is the noise floor: the ratio of the Trainer's two blocks. `other_work` is a fraction of
    the processors' time. A GPU's power limit is not a disturbance.
    """
    reason = advice = None
    if slowed := slowed_by - {POWER_LIMIT}:
        reason = f"the GPU's clock was kept low ({' and '.join(sorted(slowed))})"
        advice = "cool it, and see to its power supply"
    elif disturbs(other_work):
        reason = f"other work took {100 * other_work:.2g}% of the processors"
        advice = "end it and repeat"
    elif unsteady:
        reason = f"the warm-up of {' and '.join(unsteady)} ended before step times were steady"
        advice = "raise throughput.warmup_steps"
    elif floor.low > 1 + DRIFT or floor.high < 1 - DRIFT:
        reason = f"the trainer against itself is {floor.low:.3f} to {floor.high:.3f}"
        advice = "raise throughput.rounds"
    return MeasurementVerdict(stable=reason is None, reason=reason, advice=advice)


def interval_width(
    rate: Interval, ratios: Mapping[str, Interval], target: float, seconds: float
) -> IntervalWidth:
    """Return the widest interval of the Trainer's rate and of ratios of modes that train.

    Ratios of modes that only load are left out: loading is some hundred times faster than training.
    `target` is the width at which a run may stop; `seconds` is recorded only.
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

"""Whether a measurement can be relied on, and if not, why and what to do."""

from collections.abc import Iterator, Mapping, Sequence

from benchmark.common.statistics import Interval
from benchmark.machine.processors import BUSY
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Verdict

SPREAD = 0.1
"""Widest 95 % interval of a stable result, as a part of the estimate."""
DRIFT = 0.01
"""How far from 1 the noise floor may lie: one in twenty sound intervals does not hold 1."""


def judge(
    rate: Interval,
    ratios: Mapping[str, Interval],
    floor: Interval,
    unsteady: Sequence[str],
    others: float,
) -> Verdict:
    """The first reason not to rely on a measurement, or that it is stable. Steps are judged; a
    loader's rate is some hundred times theirs, and its own interval stands beside it.

    Args:
        rate: the trainer's.
        ratios: of the modes, by name.
        floor: the trainer's against itself.
        unsteady: modes whose warm-up ended, in some process, before step times were steady.
        others: part of the processors' time that other work took.
    """
    for reason, advice in _reasons(rate, ratios, floor, unsteady, others):
        return Verdict(stable=False, reason=reason, advice=advice)
    return Verdict(stable=True)


def unsteady_modes(processes: Sequence[ProcessRates]) -> list[str]:
    """Modes that train and were not steady. A loader alone comes in bursts, whatever it is."""
    warmups = [process.measurement.warmup for process in processes]
    trains = [mode for mode in processes[0].modes if not mode.endswith("input")]
    return [mode for mode in trains if not all(warmup[mode].steady for warmup in warmups)]


def _reasons(
    rate: Interval,
    ratios: Mapping[str, Interval],
    floor: Interval,
    unsteady: Sequence[str],
    others: float,
) -> Iterator[tuple[str, str]]:
    """Each reason with its advice."""
    if others > BUSY:
        yield f"other work took {others:.0%} of the processors", "end it and repeat"
    if unsteady:
        yield (
            f"the warm-up of {' and '.join(unsteady)} ended before step times were steady",
            "raise throughput.warmup_steps",
        )
    steps = {name: found for name, found in ratios.items() if not name.startswith("input_")}
    for name, found in {"the rate": rate, **steps, "the noise floor": floor}.items():
        if found.spread > SPREAD:
            yield (
                f"the interval of {name} is {found.spread:.0%} of the estimate wide",
                "raise throughput.rounds or throughput.repeats, or find out what disturbs the "
                "machine",
            )
    if floor.low > 1 + DRIFT or floor.high < 1 - DRIFT:
        yield (
            f"the trainer against itself is {floor.low:.3f} to {floor.high:.3f}",
            "raise throughput.rounds",
        )

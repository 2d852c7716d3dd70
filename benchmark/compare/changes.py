"""The change of one metric between two records, with its interval and the basis of the interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmark.common import numbers
from benchmark.common.statistics import Interval, mean_interval
from benchmark.compare.verdict import ACCURACY, Verdict, judge
from benchmark.report.parity import difference, input_differences
from benchmark.report.schema import Record, TrainingRecord
from benchmark.report.sessions import ASSUMED, SessionSpread, between_session_sd


@dataclass(frozen=True)
class Change:
    """The change of one metric of one accelerator."""

    accelerator: str
    metric: str
    """A mode of throughput, "accuracy" or "accuracy over seeds"; empty if not comparable."""
    verdict: Verdict
    change: str = ""
    """The change with its interval, as text."""
    basis: str = ""
    """What the interval rests on, or why the two are not comparable."""
    before: str = ""
    """The first side's value with its unit; empty if only the ratio was measured."""
    after: str = ""
    """The second side's value with its unit."""

    def __str__(self) -> str:
        name = f"{self.accelerator} {self.metric}".strip()
        values = f"{self.before} to {self.after}, " if self.before else ""
        change = f"{self.change}; " if self.change else ""
        return f"{name}: {self.verdict.kind}: {values}{change}{self.basis}"

    @property
    def decides(self) -> bool:
        """Whether this change decides the exit status. Other modes' rates only help to explain a
        change of the Trainer's."""
        return self.metric in ("", "trainer", "accuracy")


def compare_records(before: Record, after: Record, limit: float) -> list[Change]:
    """Compare the rate of each mode that both measured, and the test accuracy.

    Both records have the same workload and dataset. `limit` is the largest fraction of a metric
    that may be lost.
    """
    modes = [mode for mode in before.throughput.modes if mode in after.throughput.modes]
    rates = [_rate(before, after, mode, limit) for mode in modes]
    return [*rates, *compare_accuracies(before, after, limit)]


def compare_accuracies(before: Record, after: Record, limit: float) -> list[Change]:
    """Compare test accuracies of the main trainings, and mean accuracies over the seeds of both."""
    pair = before.training, after.training
    seeds = [(before.seeds[s], after.seeds[s]) for s in before.seeds if s in after.seeds]
    changes = [_accuracy(*pair, limit)]
    return [*changes, _accuracy_over_seeds([pair, *seeds], limit)] if seeds else changes


def _rate(before: Record, after: Record, mode: str, limit: float) -> Change:
    """Compare the rates of a mode.

    Unstable rates are compared too: leaving them out would prefer lucky measurements.
    """
    old, new = (r.throughput.modes[mode].images_per_second for r in (before, after))
    session_spread, basis = _session_spread(before, after, mode)
    verdict = judge(session_spread.widen(new.over(old)), limit)
    for side, record in (("first", before), ("second", after)):
        if not record.throughput.verdict.stable:
            basis += f"; the {side} is unstable"
    return Change(
        accelerator=before.label,
        metric=mode,
        verdict=verdict,
        change=verdict.change,
        basis=basis,
        before=f"{numbers.brief(old)} images/s",
        after=f"{numbers.brief(new)} images/s",
    )


def _session_spread(before: Record, after: Record, mode: str) -> tuple[SessionSpread, str]:
    """Return the spread between sessions that widens the interval, and the text for `Change.basis`.

    If both records are of one machine, the record with more sessions gives the spread. If they are
    of two machines, each gives one, and the larger counts. If a machine has too few sessions, the
    spread is `ASSUMED`.
    """
    sessions = {}  # by machine: a record with more sessions replaces one with fewer
    for record in sorted((after, before), key=lambda record: len(record.sessions)):
        sessions[record.machine] = record.sessions
    spreads = [between_session_sd(of_machine, mode) for of_machine in sessions.values()]
    estimated = [spread for spread in spreads if spread]
    if len(estimated) < len(spreads):
        return ASSUMED, f"sessions are assumed to vary by {ASSUMED.deviation:.0%}"
    largest = max(estimated, key=lambda spread: spread.deviation)
    return largest, f"{largest.sessions} sessions vary by {largest.deviation:.1%}"


def _accuracy(before: TrainingRecord, after: TrainingRecord, limit: float) -> Change:
    """Compare the accuracies of two trainings, paired by test image."""
    old, new = (r.correct.count("1") / len(r.correct) for r in (before, after))
    paired = difference(before.correct, after.correct)
    basis = paired.test
    if differing_inputs := input_differences(before, after):
        basis += f", trained with other {' and '.join(differing_inputs)}"
    return Change(
        accelerator=before.result.accelerator,
        metric="accuracy",
        verdict=judge(_relative(paired.share, old), limit, ACCURACY),
        change=paired.change,
        basis=basis,
        before=numbers.percent(old),
        after=numbers.percent(new),
    )


def _accuracy_over_seeds(
    pairs: Sequence[tuple[TrainingRecord, TrainingRecord]], limit: float
) -> Change:
    """Compare mean accuracies over pairs of trainings of the same seed.

    Trainings with different parameters also differ by chance; the scatter over the seeds gives the
    interval.
    """
    shares = [(before.result.test.accuracy, after.result.test.accuracy) for before, after in pairs]
    old, new = map(fmean, zip(*shares, strict=True))
    mean = mean_interval([after - before for before, after in shares])
    points = tuple(100 * end for end in (mean.estimate, mean.low, mean.high))
    return Change(
        accelerator=pairs[0][0].result.accelerator,
        metric="accuracy over seeds",
        verdict=judge(_relative(mean, old), limit, ACCURACY),
        change="{:+.1f} points ({:+.1f} to {:+.1f})".format(*points),
        basis=f"{len(pairs)} seeds, each compared with itself",
        before=numbers.percent(old),
        after=numbers.percent(new),
    )


def _relative(difference: Interval, accuracy: float) -> Interval:
    """Turn a difference of accuracies into 1 + difference / `accuracy`, with 1 in place of 0."""
    ends = (difference.estimate, difference.low, difference.high)
    return Interval(*(1 + end / (accuracy or 1) for end in ends))

"""The verdict on a changed metric, and when a duel has enough pairs for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Literal

from benchmark.common.statistics import Interval, interval

LOOKS = (6, 10, 15)
"""Numbers of measured pairs at which a duel is judged and may end."""
SIGNIFICANCE = 0.05
"""Chance of calling two equal revisions different, over all looks (Bonferroni's bound)."""
Kind = Literal["slower", "lower", "equal", "faster", "higher", "undecided", "not comparable"]
"""What a verdict can be: "slower" and "faster" of rates, "lower" and "higher" of accuracies."""
RATE: tuple[Kind, Kind] = ("slower", "faster")
"""Kinds of a ratio of rates below and above 1."""
ACCURACY: tuple[Kind, Kind] = ("lower", "higher")
"""Kinds of a ratio of accuracies below and above 1."""


@dataclass(frozen=True)
class Verdict:
    """How a metric of the second side compares with the same metric of the first side."""

    kind: Kind
    limit: float
    """Largest fraction of the metric that may be lost."""
    ratio: Interval | None = None
    """Second over first, with its interval; None if they are not comparable."""

    @property
    def regression(self) -> bool:
        """Whether the metric is detectably worse and lost more than the limit."""
        worse = self.kind in ("slower", "lower")
        return worse and self.ratio is not None and 1 - self.ratio.estimate > self.limit

    @property
    def change(self) -> str:
        """The relative change as text: "-10.0% (-12.1% to -7.8%)"; empty without a ratio."""
        if self.ratio is None:
            return ""
        ends = (self.ratio.estimate, self.ratio.low, self.ratio.high)
        return "{:+.1%} ({:+.1%} to {:+.1%})".format(*(end - 1 for end in ends))


def judge(ratio: Interval, limit: float, words: tuple[Kind, Kind] = RATE) -> Verdict:
    """Judge a ratio of second over first by its interval.

    An interval that excludes 1 is a difference: the first or second of `words`. An interval that
    stays within the limit on both sides is equality. All others are undecided.
    """
    kind: Kind = "undecided"
    if ratio.high < 1:
        kind = words[0]
    elif ratio.low > 1:
        kind = words[1]
    elif ratio.low >= 1 - limit and ratio.high <= 1 / (1 - limit):
        kind = "equal"
    return Verdict(kind, limit, ratio)


def exit_status(verdicts: Sequence[Verdict], undecided_fails: bool) -> int:
    """Return 1 if a metric lost more than its limit, 2 if one has no verdict, else 0.

    `verdicts` are those on the metrics that decide. With `undecided_fails`, an undecided verdict
    counts like one that is not comparable.
    """
    if any(verdict.regression for verdict in verdicts):
        return 1
    open_kinds = ("not comparable", "undecided") if undecided_fails else ("not comparable",)
    return 2 if any(verdict.kind in open_kinds for verdict in verdicts) else 0


def judge_pairs(samples: Sequence[float], limit: float) -> Verdict:
    """Judge a duel's ratios of rates, one per pair, with `SIGNIFICANCE` shared by all looks."""
    return judge(interval(samples, 1 - SIGNIFICANCE / len(LOOKS)), limit)


def needs_more_pairs(samples: Sequence[float], limit: float) -> bool:
    """Whether a duel needs another pair. It ends only at a look, which keeps the significance."""
    if len(samples) not in LOOKS:
        return True
    return len(samples) < LOOKS[-1] and judge_pairs(samples, limit).kind == "undecided"


def pairs_needed(ratio: Interval, limit: float, pairs: int) -> int:
    """Estimate how many pairs would decide, from the interval `ratio` after `pairs` pairs."""
    half_width, change = log(ratio.high / ratio.low) / 2, abs(log(ratio.estimate))
    narrow_enough = max(change, -log(1 - limit) - change)
    return ceil(pairs * (half_width / narrow_enough) ** 2)

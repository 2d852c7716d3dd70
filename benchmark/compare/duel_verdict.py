"""What the pairs of a duel say, after each of a few looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Literal

from benchmark.common.statistics import Interval, interval

LOOKS = (6, 10, 15)
"""Pairs of processes after which a duel may end."""
SIGNIFICANCE = 0.05
"""Chance of calling two equal revisions different, over all looks (Bonferroni's bound)."""
Kind = Literal["slower", "equal", "faster", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """How the second revision's rate compares with the first one's."""

    kind: Kind
    ratio: Interval
    """Rate after over rate before, with its interval at this look."""
    pairs: int
    limit: float
    """Largest part of the rate that may be lost."""

    @property
    def status(self) -> int:
        """0; 1: more than the limit was lost; 2: undecided."""
        if self.kind == "undecided":
            return 2
        return int(self.kind == "slower" and 1 - self.ratio.estimate > self.limit)

    def __str__(self) -> str:
        change = "{:+.1%} ({:+.1%} to {:+.1%})".format(
            *(end - 1 for end in (self.ratio.estimate, self.ratio.low, self.ratio.high))
        )
        return f"{self.kind}: {change} images/s, {self.pairs} pairs{self._more()}"

    def _more(self) -> str:
        if self.kind == "equal":
            return f", within {self.limit:.0%}"
        if self.kind != "undecided":
            return ""
        reach, change = log(self.ratio.high / self.ratio.low) / 2, abs(log(self.ratio.estimate))
        narrow = max(change, -log(1 - self.limit) - change)
        needed = ceil(self.pairs * (reach / narrow) ** 2)
        return f"; if it stays there, some {needed} pairs would tell"


def ratio(samples: Sequence[float]) -> Interval:
    """Their interval, wide enough for all looks together."""
    return interval(samples, 1 - SIGNIFICANCE / len(LOOKS))


def judge(samples: Sequence[float], limit: float) -> Verdict:
    """What is known after these pairs.

    An interval that excludes 1 is a difference; one within the limit on both sides is equality.
    """
    found = ratio(samples)
    kind: Kind = "undecided"
    if found.high < 1:
        kind = "slower"
    elif found.low > 1:
        kind = "faster"
    elif found.low >= 1 - limit and found.high <= 1 / (1 - limit):
        kind = "equal"
    return Verdict(kind, found, len(samples), limit)


def decided(samples: Sequence[float], limit: float) -> bool:
    """Whether no further pair is needed: only at a look, so that the interval holds."""
    if len(samples) not in LOOKS:
        return False
    return len(samples) == LOOKS[-1] or judge(samples, limit).kind != "undecided"

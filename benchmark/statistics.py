"""Statistics of repeated measurements: the middle, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median


@dataclass(frozen=True)
class Interval:
    """A median with the interval that holds the true one, in the unit of the samples."""

    median: float
    low: float
    high: float


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median and the narrowest symmetric order-statistic interval of at least `confidence`.

    It assumes independent samples and nothing about their distribution: of n samples, the
    number below the true median is binomial(n, 1/2), so the k-th lowest and the k-th highest
    enclose it with probability 1 - 2 P(fewer than k) (Hahn and Meeker, Statistical Intervals,
    section 5.2). Below 6 samples even the extremes fall short of 95 %; they are given then.
    """
    assert samples, "an interval needs samples"
    ordered, count = sorted(samples), len(samples)
    rank, below = 0, 1
    while 2 * (below + comb(count, rank + 1)) <= (1 - confidence) * 2**count:
        rank += 1
        below += comb(count, rank)
    return Interval(median(ordered), ordered[rank], ordered[count - 1 - rank])

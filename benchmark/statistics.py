"""Statistics of repeated measurements: the middle, and how sure it is.

A sample is what one independent process came to. Blocks within a process share its memory
layout and its moment, so they are no samples of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean, median, quantiles, stdev

from scipy.stats import t as student

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Interval:
    """A median with the interval that holds the true one, in the unit of the samples."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """The interval's width as a part of the median."""
        return (self.high - self.low) / self.median

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median of positive, independent samples, and Student's interval of their logarithms.

    Rates and ratios scatter by factors, so their logarithms are taken to be normal; then the
    median is exp(mean of logarithms). Five samples are too few for an interval that assumes
    nothing (even their extremes enclose the median in only 15 of 16 cases). The interval is
    widened to the samples' own median where that lies outside.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.2.
    """
    assert len(samples) > 1, "an interval needs two samples at least"
    logarithms = [log(sample) for sample in samples]
    centre, middle = fmean(logarithms), median(samples)
    reach = student.ppf((1 + confidence) / 2, len(samples) - 1)
    error = float(reach) * stdev(logarithms) / len(samples) ** 0.5
    return Interval(middle, min(middle, exp(centre - error)), max(middle, exp(centre + error)))


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The PERCENTILES of at least two values, linear between neighbours, by name ("p50")."""
    cuts = quantiles(values, n=100, method="inclusive")
    return {f"p{percent}": cuts[percent - 1] for percent in PERCENTILES}

"""Statistics of repeated measurements: the middle, and how sure it is.

A sample is the result of one independent process. Blocks within a process share its memory
layout and its moment, so they are no samples of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, hypot, log
from statistics import fmean, median, quantiles, stdev

from scipy.stats import binomtest
from scipy.stats import t as student

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Interval:
    """An estimate with the 95 % interval that holds the true value, in the unit of the samples."""

    estimate: float
    """A median or a proportion."""
    low: float
    """The interval's lower end."""
    high: float
    """The interval's upper end."""

    @property
    def spread(self) -> float:
        """The interval's width as a part of the estimate."""
        return (self.high - self.low) / self.estimate

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def largest_deviation(self) -> float:
        """How far from 1, as a factor above 1, the farther end lies."""
        return max(self.high, 1 / self.low)

    def over(self, other: "Interval") -> "Interval":
        """The quotient by an independent interval of positive values.

        The reaches of the logarithms add as errors do, each towards the end that it widens.
        Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 2.5.5.
        """
        middle = self.estimate / other.estimate
        down = hypot(log(self.estimate / self.low), log(other.high / other.estimate))
        up = hypot(log(self.high / self.estimate), log(other.estimate / other.low))
        return Interval(middle, middle * exp(-down), middle * exp(up))


def detectable(ratio: Interval, floors: Sequence[Interval]) -> bool:
    """Whether a ratio differs from 1: its interval does not hold 1, and it departs from 1 by more
    than any of the noise floors, the ratios of equal things, does."""
    change = max(ratio.estimate, 1 / ratio.estimate)
    return 1 not in ratio and all(change > floor.largest_deviation for floor in floors)


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


def proportion(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """A share of independent trials with Wilson's score interval, between 0 and 1.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 7.2.4.1.
    """
    found = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The PERCENTILES of at least two values, linear between neighbours, by name ("p50")."""
    cuts = quantiles(values, n=100, method="inclusive")
    return {f"p{percent}": cuts[percent - 1] for percent in PERCENTILES}

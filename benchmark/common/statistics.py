"""Statistics of repeated measurements: an estimate and its confidence interval.

A sample is the result of one independent process. Blocks within a process share its memory layout
and the machine's state, so they are not independent samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, quantiles, stdev

from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval, in the unit of the samples."""

    estimate: float
    """A geometric mean, a mean or a share."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    degrees: float | None = None
    """Degrees of freedom of Student's distribution; null for another distribution."""

    def __post_init__(self) -> None:
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"{self.estimate} is not between {self.low} and {self.high}")
        if self.degrees is not None and self.degrees < 1:
            raise ValueError(f"{self.degrees} degrees of freedom are fewer than 1")

    @property
    def relative_width(self) -> float:
        """Width of the interval, divided by the estimate."""
        return (self.high - self.low) / self.estimate

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def inverse(self) -> "Interval":
        """Interval of the estimate's reciprocal."""
        return Interval(1 / self.estimate, 1 / self.high, 1 / self.low, self.degrees)

    def over(self, other: "Interval") -> "Interval":
        """Return the interval of the quotient: this estimate divided by the estimate of `other`.

        Both intervals must come from `interval()` and from independent samples. The result is
        Welch's interval of the difference of logarithms, which allows unequal variances.

        Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.3.
        """
        assert self.degrees
        assert other.degrees
        one, two = self._squared_error(), other._squared_error()
        doubt = one**2 / self.degrees + two**2 / other.degrees
        degrees = (one + two) ** 2 / doubt if doubt else self.degrees + other.degrees
        return _of_logarithm(log(self.estimate / other.estimate), (one + two) ** 0.5, degrees)

    def _squared_error(self) -> float:
        """Return the squared standard error of the estimate's logarithm."""
        assert self.degrees, "an interval of samples"
        return float((log(self.high / self.low) / 2 / _reach(self.degrees)) ** 2)


def interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the geometric mean of positive, independent samples with Student's interval.

    The logarithms of rates and ratios are assumed to be normal; then the geometric mean estimates
    the median. Without this assumption, five samples are too few for a 95 % interval: their
    smallest and largest value enclose the median in only 15 of 16 cases.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.2.
    """
    logarithms = [log(sample) for sample in samples]
    return _of_logarithm(fmean(logarithms), _error(logarithms), len(samples) - 1, confidence)


def mean_interval(samples: Sequence[float]) -> Interval:
    """Return the arithmetic mean of independent samples with Student's interval.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.2.
    """
    middle, degrees = fmean(samples), len(samples) - 1
    reach = _reach(degrees) * _error(samples)
    return Interval(middle, middle - reach, middle + reach, degrees)


def _error(samples: Sequence[float]) -> float:
    """Return the standard error of the mean."""
    assert len(samples) > 1, "an interval needs at least two samples"
    return stdev(samples) / len(samples) ** 0.5


def _reach(degrees: float, confidence: float = CONFIDENCE) -> float:
    """Return half of the width of Student's interval, in standard errors."""
    return float(stdtrit(degrees, (1 + confidence) / 2))


def _of_logarithm(
    middle: float, error: float, degrees: float, confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of exp(x), given the mean of x, its standard error and its degrees."""
    reach = _reach(degrees, confidence) * error
    return Interval(exp(middle), exp(middle - reach), exp(middle + reach), degrees)


def proportion(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the share of successes in independent trials with Wilson's score interval, 0 to 1.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 7.2.4.1.
    """
    share, reach = successes / trials, float(ndtri(0.5 + 0.5 * confidence))
    scale = 2 * (trials + reach**2)
    middle = (2 * trials * share + reach**2) / scale
    half = reach / scale * sqrt(4 * trials * share * (1 - share) + reach**2)
    low = middle - half if successes else 0.0
    return Interval(share, low, middle + half if successes < trials else 1.0)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the PERCENTILES of at least two values, interpolated linearly, by name ("p50")."""
    cuts = quantiles(values, n=100, method="inclusive")
    return {f"p{percent}": cuts[percent - 1] for percent in PERCENTILES}

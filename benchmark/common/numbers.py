"""Format numbers: as many digits as their interval justifies, with thousands separators."""

from math import floor, log10

from benchmark.common.statistics import Interval

SIGNIFICANT = 3
"""Digits of a number without an interval."""
MOST = 5
"""Largest number of significant digits, also for a very narrow interval."""


def estimate(interval: Interval) -> str:
    """Format the estimate without its ends, with the digits that its interval justifies."""
    return _rounded(interval.estimate, _places(interval))


def interval(value: Interval, unit: str = "") -> str:
    """Format an estimate with its unit and its ends: "66.2 images/s (63.9 to 68.6)"."""
    places = _places(value)
    middle, low, high = (_rounded(e, places) for e in (value.estimate, value.low, value.high))
    return f"{middle}{unit and ' '}{unit} ({low} to {high})"


def number(value: float) -> str:
    """Format a number with three significant digits: "4,120", "0.500"."""
    return _rounded(value, _after_the_point(value, SIGNIFICANT)) if value else "0"


def duration(seconds: float) -> str:
    """Format a duration in one or two units: "12.3 ms", "1.8 s", "3 min 20 s", "10 h 5 min"."""
    if seconds < 0.9995:
        return f"{number(1000 * seconds)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def size(count: float) -> str:
    """Format a number of bytes in GiB or MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _places(interval: Interval) -> int:
    """Return how many digits after the decimal point to print; -2 means to round to hundreds.

    Rule of the Particle Data Group: half of the interval's width has two significant digits if
    they are at most 35, else one.

    Source: Review of Particle Physics, introduction, section 5.3.
    """
    middle, reach = interval.estimate, (interval.high - interval.low) / 2
    least = _after_the_point(middle, MOST) if middle else MOST
    if reach <= 0:
        return min(least, _after_the_point(middle, SIGNIFICANT) if middle else 0)
    exponent = floor(log10(reach))
    leading = round(reach / 10 ** (exponent - 2))
    return min(least, (1 if leading <= 354 else 0) - exponent)


def _after_the_point(value: float, digits: int) -> int:
    """Return the decimal places with which `value` has `digits` significant digits."""
    return digits - 1 - floor(log10(abs(value)))


def _rounded(value: float, places: int) -> str:
    return f"{round(value, places):,.{max(places, 0)}f}"

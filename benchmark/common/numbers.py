"""Numbers in words: as many digits as their interval gives a reason for, thousands apart, units
that a reader can picture."""

from math import floor, log10

from benchmark.common.statistics import Interval

SIGNIFICANT = 3
"""Digits of a number that has no interval."""
MOST = 5
"""Digits of a number, however narrow its interval."""


def estimate(found: Interval) -> str:
    """The estimate alone, with the digits that its interval leaves it."""
    return _rounded(found.estimate, _places(found))


def interval(found: Interval, unit: str = "") -> str:
    """An estimate and its ends, "66.2 (63.9 to 68.6)"; the unit stands after the estimate."""
    places = _places(found)
    middle, low, high = (_rounded(e, places) for e in (found.estimate, found.low, found.high))
    return f"{middle}{unit and ' '}{unit} ({low} to {high})"


def number(value: float) -> str:
    """A number without an interval, to three digits: "4,120", "0.5"."""
    return _rounded(value, _after_the_point(value, SIGNIFICANT)) if value else "0"


def duration(seconds: float) -> str:
    """A time in one unit or two: "12.3 ms", "1.8 s", "3 min 20 s", "10 h 5 min"."""
    if seconds < 0.9995:
        return f"{number(1000 * seconds)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes, in GiB or MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _places(found: Interval) -> int:
    """Digits after the point (before it, if below 0), by the rule of the Particle Data Group: of
    half the interval's width two digits count if they are at most 35, else one.

    Source: Review of Particle Physics, introduction, section 5.3.
    """
    least = _after_the_point(found.estimate, MOST) if found.estimate else MOST
    reach = (found.high - found.low) / 2
    if reach <= 0:
        return min(least, _after_the_point(found.estimate, SIGNIFICANT) if found.estimate else 0)
    exponent = floor(log10(reach))
    leading = round(reach / 10 ** (exponent - 2))
    return min(least, (1 if leading <= 354 else 0) - exponent)


def _after_the_point(value: float, digits: int) -> int:
    """Places that leave `value` so many digits."""
    return digits - 1 - floor(log10(abs(value)))


def _rounded(value: float, places: int) -> str:
    return f"{round(value, places):,.{max(places, 0)}f}"

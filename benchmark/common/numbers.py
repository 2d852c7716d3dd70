"""Format numbers: as many digits as their interval justifies, with thousands separators."""

from math import floor, log10

from benchmark.common.statistics import Interval

SIGNIFICANT = 3
"""Digits of a number without an interval."""
MOST = 5
"""Largest number of significant digits, also for a very narrow interval."""
PERCENT_DECIMALS = 5
"""Numbers of decimals to try, so that a percentage is not shown as 0% or 100%."""


def estimate(interval: Interval) -> str:
    """Format the estimate without its ends, with the digits that its interval justifies."""
    return _words(interval)[0]


def brief(value: Interval) -> str:
    """Format the estimate; add the ends of an interval that is wider than the estimate."""
    return interval(value) if value.high - value.low > value.estimate else estimate(value)


def interval(value: Interval, unit: str = "") -> str:
    """Format an estimate with its unit and its ends: "66.2 images/s (63.9 to 68.6)"."""
    middle, low, high = _words(value)
    return f"{middle}{unit and ' '}{unit} ({low} to {high})"


def epochs(count: int) -> str:
    """Format a number of epochs: "1 epoch", "12 epochs"."""
    return f"{count:,} epoch{'' if count == 1 else 's'}"


def percent(share: float, places: int = 1) -> str:
    """Format a share of 1 in percent: "75.0%".

    A share that is not 0 or 1 has more decimals where `places` would show 0% or 100%: "0.04%".
    """
    for more in range(places, places + PERCENT_DECIMALS) if 0 < share < 1 else ():
        if 0 < float(f"{100 * share:.{more}f}") < 100:
            return f"{share:.{more}%}"
    return f"{share:.{places}%}"


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


def _words(interval: Interval) -> list[str]:
    """Format the estimate and both ends.

    If the interval excludes negative values, it is that of a rate, a ratio or a share. Each of
    these has at least one significant digit: only 0 is shown as 0.
    """
    places = _places(interval)
    return [
        _rounded(x, max(places, _after_the_point(x, 1)) if x and interval.low >= 0 else places)
        for x in (interval.estimate, interval.low, interval.high)
    ]


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

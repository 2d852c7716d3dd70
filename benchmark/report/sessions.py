"""Estimates how much rates differ between measuring sessions.

The same code on the same machine is not as fast today as it was yesterday. No interval of one
session covers that difference.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log
from statistics import fmean

from scipy.special import stdtrit

from benchmark.common.statistics import CONFIDENCE, Interval
from benchmark.report.schema import Record, Session

LEAST = 3
"""Sessions of equal code from which a standard deviation is estimated."""


@dataclass(frozen=True)
class SessionSpread:
    """How rates of the same code differ between sessions."""

    deviation: float
    """Standard deviation of the rates' logarithms between sessions of equal code."""
    degrees: float
    """Degrees of freedom of that estimate."""
    sessions: int
    """Number of sessions that it was estimated from."""

    def widen(self, ratio: Interval) -> Interval:
        """Return the ratio with a wider interval, which also covers the spread between sessions.

        Args:
            ratio: ratio of the rates of two sessions. Its interval covers the differences between
                processes of one session.

        Returns:
            The same estimate. On a logarithmic scale the interval is symmetric and at least as
            wide as before.
        """
        reach = float(stdtrit(self.degrees, (1 + CONFIDENCE) / 2)) * self.deviation * 2**0.5
        factor = exp(max(reach, log(ratio.high / ratio.low) / 2))
        return Interval(ratio.estimate, ratio.estimate / factor, ratio.estimate * factor)


ASSUMED = SessionSpread(0.08, inf, 0)
"""The spread while too few sessions are recorded. Rates of unchanged code had a standard deviation
of 7.8 % over three days on one shared machine."""


def between_session_sd(sessions: Sequence[Session], mode: str) -> SessionSpread | None:
    """Estimate the spread of a mode's rate between sessions; None if too few have equal code.

    The standard deviation is pooled over the groups of equal code, so that faster code does not
    count as a spread.
    """
    rates = defaultdict(list)
    for session in sessions:
        if mode in session.images_per_second:
            rates[session.code].append(log(session.images_per_second[mode]))
    groups = [group for group in rates.values() if len(group) > 1]
    count = sum(map(len, groups))
    degrees = count - len(groups)
    if degrees < LEAST - 1:
        return None
    squares = sum((rate - fmean(group)) ** 2 for group in groups for rate in group)
    return SessionSpread((squares / degrees) ** 0.5, degrees, count)


def widened_ratio(
    one: tuple[Interval, SessionSpread | None], other: tuple[Interval, SessionSpread | None]
) -> Interval:
    """Return the first rate over the second, each given with its spread between sessions.

    If both spreads are known, the larger one widens the interval.
    """
    ratio = one[0].over(other[0])
    if one[1] is None or other[1] is None:
        return ratio
    return max(one[1], other[1], key=lambda spread: spread.deviation).widen(ratio)


def continue_sessions(record: Record, exported: Record | None) -> Record:
    """Return a copy of the record with its sessions: those of the earlier export, and its own.

    Args:
        record: this machine's current results.
        exported: the machine's earlier export. Its sessions are dropped if hardware, software,
            dataset or workload (other than the code) have changed since.
    """
    modes = record.throughput.modes
    session = Session(
        code=record.throughput.workload.code,
        date=record.throughput.date,
        images_per_second={name: mode.images_per_second.estimate for name, mode in modes.items()},
    )
    comparable = exported and _conditions(exported) == _conditions(record)
    earlier = exported.sessions if exported and comparable else ()
    sessions = earlier if session in earlier else (*earlier, session)
    return record.model_copy(update={"sessions": sessions})


def _conditions(record: Record) -> tuple[object, ...]:
    """Return what sessions must have in common: environment, workload without code, dataset."""
    workload = record.throughput.workload.model_dump(exclude={"code"})
    return record.environment, workload, record.throughput.dataset

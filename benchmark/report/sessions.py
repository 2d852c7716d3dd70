"""What changes between measuring sessions: the same code on the same machine is not as fast today
as it was yesterday, and no interval of one session knows it."""

from dataclasses import dataclass
from math import exp, inf, log
from statistics import stdev

from scipy.special import stdtrit

from benchmark.common.statistics import CONFIDENCE, Interval
from benchmark.report.schema import Record, Session

LEAST = 3
"""Sessions from which a spread is estimated."""


@dataclass(frozen=True)
class Spread:
    """How rates scatter between sessions."""

    deviation: float
    """Standard deviation of their logarithms."""
    degrees: float
    """Degrees of freedom of that estimate."""

    def widen(self, ratio: Interval) -> Interval:
        """A ratio of two sessions' rates, with what changes between sessions in its interval."""
        reach = float(stdtrit(self.degrees, (1 + CONFIDENCE) / 2)) * self.deviation * 2**0.5
        own = log(ratio.high / ratio.low) / 2
        factor = exp(max(reach, own))
        return Interval(ratio.estimate, ratio.estimate / factor, ratio.estimate * factor)


ASSUMED = Spread(0.08, inf)
"""Until LEAST sessions are known. A mode whose code had not changed came to rates with a standard
deviation of 7.8 % on three days of one shared machine."""


def spread(sessions: tuple[Session, ...], mode: str) -> Spread | None:
    """Of a mode's rates; None if too few are known."""
    rates = [s.images_per_second[mode] for s in sessions if mode in s.images_per_second]
    if len(rates) < LEAST:
        return None
    return Spread(stdev(map(log, rates)), len(rates) - 1)


def session(record: Record) -> Session:
    """What is kept of a record's measurement."""
    modes = record.throughput.modes
    return Session(
        code=record.throughput.workload.code,
        date=record.throughput.date,
        images_per_second={name: mode.images_per_second.estimate for name, mode in modes.items()},
    )


def continued(record: Record, before: Record | None) -> Record:
    """A record with the sessions of the machine's export `before`, if they are of the same
    hardware, software and workload, and its own."""
    kept = before.sessions if before and _alike(record, before) else ()
    own = session(record)
    return record.model_copy(update={"sessions": kept if own in kept else (*kept, own)})


def _alike(one: Record, other: Record) -> bool:
    works = [
        (each.throughput.workload.model_dump(exclude={"code"}), each.throughput.dataset)
        for each in (one, other)
    ]
    return one.environment == other.environment and works[0] == works[1]

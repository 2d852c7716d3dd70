"""How often intervals and verdicts are right: `python -m tests.interval_simulation [REPETITIONS]`.

A simulation, by default of 20,000 repetitions, with the functions that the reports use, on samples
whose truth is known. An interval of 95 % should contain the truth in 93 to 97 % of cases. Equal
things should be called different in at most 5 %.
"""

import sys
from collections.abc import Callable, Iterator
from math import exp, log
from typing import NamedTuple

import numpy as np

from benchmark.common.statistics import Interval, interval, mean_interval
from benchmark.compare.verdict import judge, judge_pairs, needs_more_pairs
from benchmark.report.parity import difference
from benchmark.report.schema import Session
from benchmark.report.sessions import ASSUMED, between_session_sd

RATE, SCATTER, MARGIN = 50.0, 0.03, 0.05
COUNTS = (5, 6, 8, 10, 16)
Random = np.random.Generator


class Case(NamedTuple):
    """A line of the table: an event, and how often it should happen."""

    name: str
    happens: Callable[[Random], bool]
    low: float = 0.93
    high: float = 0.97


def main(arguments: list[str]) -> int:
    """Print the table; return 1 if a case is outside its limits."""
    repetitions = int(arguments[0]) if arguments else 20_000
    random, wrong = np.random.default_rng(0), 0
    for case in cases():
        share = sum(case.happens(random) for _ in range(repetitions)) / repetitions
        sound = case.low <= share <= case.high
        wrong += not sound
        expected = f"{case.low:.0%} to {case.high:.0%}{'' if sound else ': WRONG'}"
        print(f"{case.name:<72} {share:6.2%}  {expected}", flush=True)
    return int(wrong > 0)


def cases() -> Iterator[Case]:
    """Yield every kind of interval and every verdict."""
    for count in COUNTS:
        yield from of_samples(count)
    yield Case("interval of a rate, processes added until it is 3 % wide", stopped)
    for images, differing in ((100, 0.1), (250, 0.05), (250, 0.1), (250, 0.3), (1000, 0.05)):
        yield of_answers(images, differing)
    for images, differing in ((250, 0.1), (1000, 0.1), (1000, 0.3)):
        yield of_margin(images, differing)
    for sessions in (0, 3, 5, 10):
        yield of_gate(sessions)
    yield Case("duel: equal revisions called different, over all looks", duel, 0.0, 0.05)


def of_samples(count: int) -> Iterator[Case]:
    """Yield the intervals over `count` processes or seeds."""
    yield Case(
        f"interval of a rate, {count} processes", lambda r: RATE in interval(rates(r, count))
    )
    yield Case(
        f"over: {count} processes of sd 3 % and 6 of 1 %",
        lambda r: 1 in interval(rates(r, count)).over(interval(rates(r, 6, 0.01))),
    )
    yield Case(
        f"ratio of two modes, {count} processes, common factor of sd 8 %",
        lambda r: 1 in interval(ratios(r, count)),
    )
    yield Case(
        f"share of a step, {count} processes", lambda r: 0.03 in mean_interval(shares(r, count))
    )
    yield Case(
        f"mean test accuracy, {count} seeds",
        lambda r: 0.86 in mean_interval(list(r.normal(0.86, 0.01, count))),
    )


def of_answers(images: int, differing: float) -> Case:
    """The interval of the difference of two accuracies."""
    return Case(
        f"difference of accuracies, {images} images, {differing:.0%} of answers differ",
        lambda r: 0 in difference(*answers(r, images, differing, 0.0)).share,
    )


def of_margin(images: int, differing: float) -> Case:
    """Two one-sided tests of models whose accuracies differ by the margin."""
    return Case(
        f"5 points of difference called equal within 5, {images} images, {differing:.0%} differ",
        lambda r: difference(*answers(r, images, differing, MARGIN)).within(MARGIN),
        0.0,
        0.05,
    )


def of_gate(sessions: int) -> Case:
    """False alarms of `compare` between sessions of equal code."""
    return Case(
        f"gate: false alarms, sessions of sd 6 %, {sessions} recorded",
        lambda r: alarm(r, sessions),
        0.0,
        0.05,
    )


def rates(random: Random, count: int, scatter: float = SCATTER) -> list[float]:
    """Rates of processes."""
    return list(random.lognormal(log(RATE), scatter, count))


def ratios(random: Random, count: int) -> list[float]:
    """Ratios of two equal modes in each process, whose common factor cancels."""
    common = random.normal(0, 0.08, count)
    one, other = (np.exp(common + random.normal(0, SCATTER, count)) for _ in range(2))
    return list(one / other)


def shares(random: Random, count: int) -> list[float]:
    """Differences of two dependent ratios, which are truly 3 %."""
    common = random.normal(0, 0.05, count)
    one, other = (random.normal(0, 0.01, count) for _ in range(2))
    return list((0.99 + common + one) - (0.96 + common + other))


def stopped(random: Random) -> bool:
    """Whether an interval is right if processes are added until it is narrow, or there are 12.

    Stopping early prefers intervals that are narrow by chance.
    """
    sample = rates(random, 6, 0.02)
    while interval(sample).relative_width > 0.03 and len(sample) < 12:
        sample += rates(random, 1, 0.02)
    return RATE in interval(sample)


def answers(random: Random, images: int, differing: float, better: float) -> tuple[str, str]:
    """Answers of two models, right (1) or wrong (0).

    They differ on the fraction `differing` of images; the second model is better by `better`.
    """
    gained = (differing + better) / 2
    parts = [gained, differing - gained, (1 - differing) / 2, (1 - differing) / 2]
    kinds = random.choice(["01", "10", "11", "00"], images, p=parts)
    return "".join(kind[0] for kind in kinds), "".join(kind[1] for kind in kinds)


def alarm(random: Random, sessions: int) -> bool:
    """Whether `compare`, which allows a loss of 5 %, fails although nothing changed."""
    before, after, *recorded = (session(random) for _ in range(sessions + 2))
    history = tuple(
        Session(code="", date="", images_per_second={"trainer": rate.estimate}) for rate in recorded
    )
    ratio = (between_session_sd(history, "trainer") or ASSUMED).widen(after.over(before))
    return judge(ratio, 0.05).regression


def session(random: Random) -> Interval:
    """The rate of a session of six processes, which have a factor in common."""
    common = random.normal(0, 0.06)
    return interval([RATE * exp(common + error) for error in random.normal(0, SCATTER, 6)])


def duel(random: Random) -> bool:
    """Whether a duel of equal revisions, whose pairs have sd 1 %, calls them different."""
    pair_ratios: list[float] = []
    while needs_more_pairs(pair_ratios, 0.03):
        pair_ratios.append(exp(random.normal(0, 0.01)))
    return judge_pairs(pair_ratios, 0.03).kind in ("slower", "faster")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

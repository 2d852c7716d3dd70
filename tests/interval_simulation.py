"""Do intervals and verdicts hold what they say? `python -m tests.interval_simulation
[REPETITIONS]`, else 20,000.

By simulation with the functions that the reports use, on samples whose truth is known. An interval
of 95 % should hold it in 93 to 97 % of cases, and what is equal should be called different in 5 %
at most.
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
    """A line of the table: what happens, and how often it should."""

    what: str
    happens: Callable[[Random], bool]
    low: float = 0.93
    high: float = 0.97


def main(arguments: list[str]) -> int:
    """Print the table; an exit status."""
    repetitions = int(arguments[0]) if arguments else 20_000
    random, wrong = np.random.default_rng(0), 0
    for case in cases():
        share = sum(case.happens(random) for _ in range(repetitions)) / repetitions
        sound = case.low <= share <= case.high
        wrong += not sound
        expected = f"{case.low:.0%} to {case.high:.0%}{'' if sound else ': NOT SO'}"
        print(f"{case.what:<72} {share:6.2%}  {expected}", flush=True)
    return int(wrong > 0)


def cases() -> Iterator[Case]:
    """Every kind of interval, and every verdict."""
    for count in COUNTS:
        yield from of_samples(count)
    yield Case("interval of a rate, processes added until it is 3 % wide", stopped)
    for images, apart in ((100, 0.1), (250, 0.05), (250, 0.1), (250, 0.3), (1000, 0.05)):
        yield of_answers(images, apart)
    for images, apart in ((250, 0.1), (1000, 0.1), (1000, 0.3)):
        yield of_margin(images, apart)
    for known in (0, 3, 5, 10):
        yield of_gate(known)
    yield Case("duel: equal revisions called different, over all looks", duel, 0.0, 0.05)


def of_samples(count: int) -> Iterator[Case]:
    """What is made of so many processes or seeds."""
    yield Case(
        f"interval of a rate, {count} processes", lambda r: RATE in interval(rates(r, count))
    )
    yield Case(
        f"over: {count} processes of sd 3 % and 6 of 1 %",
        lambda r: 1 in interval(rates(r, count)).over(interval(rates(r, 6, 0.01))),
    )
    yield Case(
        f"ratio of two modes, {count} processes, moods of sd 8 % in common",
        lambda r: 1 in interval(ratios(r, count)),
    )
    yield Case(
        f"share of a step, {count} processes", lambda r: 0.03 in mean_interval(shares(r, count))
    )
    yield Case(
        f"mean test accuracy, {count} seeds",
        lambda r: 0.86 in mean_interval(list(r.normal(0.86, 0.01, count))),
    )


def of_answers(images: int, apart: float) -> Case:
    """The difference of two accuracies."""
    return Case(
        f"difference of accuracies, {images} images, {apart:.0%} of answers differ",
        lambda r: 0 in difference(*answers(r, images, apart, 0.0)).share,
    )


def of_margin(images: int, apart: float) -> Case:
    """Two one-sided tests, of models that are the margin apart."""
    return Case(
        f"5 points apart and called equal within 5, {images} images, {apart:.0%} differ",
        lambda r: difference(*answers(r, images, apart, MARGIN)).within(MARGIN),
        0.0,
        0.05,
    )


def of_gate(known: int) -> Case:
    """Sessions that differ by nothing but their moods."""
    return Case(
        f"gate: false alarms, sessions of sd 6 %, {known} recorded",
        lambda r: alarm(r, known),
        0.0,
        0.05,
    )


def rates(random: Random, count: int, scatter: float = SCATTER) -> list[float]:
    """Of processes."""
    return list(random.lognormal(log(RATE), scatter, count))


def ratios(random: Random, count: int) -> list[float]:
    """Of two equal modes in each process, whose moods cancel."""
    moods = random.normal(0, 0.08, count)
    one, other = (np.exp(moods + random.normal(0, SCATTER, count)) for _ in range(2))
    return list(one / other)


def shares(random: Random, count: int) -> list[float]:
    """Differences of two ratios that depend on one another, 3 % apart in truth."""
    common = random.normal(0, 0.05, count)
    one, other = (random.normal(0, 0.01, count) for _ in range(2))
    return list((0.99 + common + one) - (0.96 + common + other))


def stopped(random: Random) -> bool:
    """To stop when an interval is narrow prefers those that are by chance."""
    found = rates(random, 6, 0.02)
    while interval(found).relative_width > 0.03 and len(found) < 12:
        found += rates(random, 1, 0.02)
    return RATE in interval(found)


def answers(random: Random, images: int, apart: float, better: float) -> tuple[str, str]:
    """Of two models, which differ on a part of the images, the second being better by so much."""
    gained = (apart + better) / 2
    parts = [gained, apart - gained, (1 - apart) / 2, (1 - apart) / 2]
    kinds = random.choice(["01", "10", "11", "00"], images, p=parts)
    return "".join(kind[0] for kind in kinds), "".join(kind[1] for kind in kinds)


def alarm(random: Random, known: int) -> bool:
    """Whether the gate, which allows 5 %, fails though nothing changed."""
    before, after, *others = (session(random) for _ in range(known + 2))
    history = tuple(
        Session(code="", date="", images_per_second={"trainer": found.estimate}) for found in others
    )
    ratio = (between_session_sd(history, "trainer") or ASSUMED).widen(after.over(before))
    return judge(ratio, 0.05).regression


def session(random: Random) -> Interval:
    """Six processes of one mood."""
    mood = random.normal(0, 0.06)
    return interval([RATE * exp(mood + error) for error in random.normal(0, SCATTER, 6)])


def duel(random: Random) -> bool:
    """Pairs of sd 1 %, looked at as often as a duel looks."""
    found: list[float] = []
    while needs_more_pairs(found, 0.03):
        found.append(exp(random.normal(0, 0.01)))
    return judge_pairs(found, 0.03).kind in ("slower", "faster")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

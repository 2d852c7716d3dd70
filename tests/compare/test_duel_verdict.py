"""What a duel says of samples whose truth is known."""

import numpy as np
import pytest

from benchmark.common.statistics import Interval
from benchmark.compare.duel_verdict import LOOKS, Verdict, decided, judge, ratio


def samples(true: float, scatter: float, count: int, seed: int = 0) -> list[float]:
    logarithms = np.random.default_rng(seed).normal(np.log(true), scatter, count)
    return [float(each) for each in np.exp(logarithms)]


@pytest.mark.parametrize(
    ("true", "scatter", "kind", "status"),
    [
        (0.90, 0.005, "slower", 1),
        (0.985, 0.003, "slower", 0),
        (1.0, 0.005, "equal", 0),
        (1.1, 0.005, "faster", 0),
        (1.0, 0.2, "undecided", 2),
    ],
)
def test_each_verdict_has_its_exit_status(
    true: float, scatter: float, kind: str, status: int
) -> None:
    found = judge(samples(true, scatter, 10), limit=0.03)
    assert (found.kind, found.status) == (kind, status)


@pytest.mark.parametrize(
    ("change", "enough"), [(0.0, 0.03), (-0.01, 0.02), (-0.02, 0.02), (0.05, 0.05)]
)
def test_undecided_says_how_many_pairs_would_tell(change: float, enough: float) -> None:
    """Those whose interval leaves out 1, or lies within the limit. The reach falls with the root
    of the number of pairs."""
    middle, reach = np.log1p(change), 0.1
    ratio = Interval(np.exp(middle), np.exp(middle - reach), np.exp(middle + reach))
    needed = 10 * (reach / enough) ** 2
    said = str(Verdict("undecided", ratio, 10, limit=0.03))
    found = int(said.partition("; if it stays there, some ")[2].partition(" pairs would tell")[0])
    assert found == pytest.approx(needed, rel=0.1)


def test_what_is_undecided_takes_more_pairs() -> None:
    for seed in range(200):
        found = judge(samples(1.015, 0.02, 10, seed), limit=0.03)
        if found.kind == "undecided":
            assert int(str(found).split("some ")[1].split(" ")[0]) > 10


@pytest.mark.parametrize("count", LOOKS)
def test_equal_revisions_are_rarely_called_different(count: int) -> None:
    """By one look in sixty, so that three looks are wrong in one of twenty."""
    missed = sum(1 not in ratio(samples(1.0, 0.02, count, seed)) for seed in range(1500))
    assert missed / 1500 == pytest.approx(0.05 / 3, abs=0.01)


def test_a_duel_ends_at_looks_only() -> None:
    clear, unclear = samples(0.8, 0.001, 15), samples(1.0, 0.5, 15)
    ends = [[n for n in range(2, 16) if decided(each[:n], 0.03)] for each in (clear, unclear)]
    assert ends == [list(LOOKS), [LOOKS[-1]]]

"""What a duel says of samples whose truth is known."""

import numpy as np
import pytest

from benchmark.duel.verdict import LOOKS, decided, judge, ratio


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


def test_undecided_says_how_many_pairs_would_tell() -> None:
    """The reach falls with the root of the number of pairs."""
    found = judge(samples(1.0, 0.1, 10), limit=0.03)
    reach = np.log(found.ratio.high / found.ratio.low) / 2
    needed = int(np.ceil(10 * (reach / -np.log(0.97)) ** 2))
    assert f"; some {needed} pairs would tell a change of 3% from none" in str(found)


@pytest.mark.parametrize("count", LOOKS)
def test_equal_revisions_are_rarely_called_different(count: int) -> None:
    """By one look in sixty, so that three looks are wrong in one of twenty."""
    missed = sum(1 not in ratio(samples(1.0, 0.02, count, seed)) for seed in range(1500))
    assert missed / 1500 == pytest.approx(0.05 / 3, abs=0.01)


def test_a_duel_ends_at_looks_only() -> None:
    clear, unclear = samples(0.8, 0.001, 15), samples(1.0, 0.5, 15)
    ends = [[n for n in range(2, 16) if decided(each[:n], 0.03)] for each in (clear, unclear)]
    assert ends == [list(LOOKS), [LOOKS[-1]]]

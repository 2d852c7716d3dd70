"""Verdicts on intervals, and on pairs of a duel whose true ratio is known."""

import numpy as np
import pytest

from benchmark.common.statistics import Interval
from benchmark.compare.verdict import (
    ACCURACY,
    LOOKS,
    exit_status,
    judge,
    judge_pairs,
    needs_more_pairs,
    pairs_needed,
)


def samples(true: float, scatter: float, count: int, seed: int = 0) -> list[float]:
    logarithms = np.random.default_rng(seed).normal(np.log(true), scatter, count)
    return [float(ratio) for ratio in np.exp(logarithms)]


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
    verdict = judge_pairs(samples(true, scatter, 10), limit=0.03)
    assert (verdict.kind, exit_status([verdict], undecided_fails=True)) == (kind, status)


@pytest.mark.parametrize(
    ("ends", "kind"),
    [
        ((0.8, 0.95), "lower"),
        ((1.1, 1.2), "higher"),
        ((0.96, 1.04), "equal"),
        ((0.94, 1.04), "undecided"),
        ((0.96, 1.06), "undecided"),
    ],
)
def test_an_interval_decides(ends: tuple[float, float], kind: str) -> None:
    assert judge(Interval(sum(ends) / 2, *ends), 0.05, ACCURACY).kind == kind


def test_a_regression_outweighs_what_has_no_verdict() -> None:
    loss, unclear, gain = (
        judge(Interval(*ends), 0.05) for ends in ((0.9, 0.8, 0.95), (0.9, 0.5, 2), (1.1, 1.05, 1.2))
    )
    assert exit_status([unclear, loss], undecided_fails=True) == 1
    assert exit_status([unclear, gain], undecided_fails=True) == 2
    assert exit_status([unclear, gain], undecided_fails=False) == 0


@pytest.mark.parametrize(
    ("change", "enough"), [(0.0, 0.03), (-0.01, 0.02), (-0.02, 0.02), (0.05, 0.05)]
)
def test_the_pairs_needed_make_the_interval_decide(change: float, enough: float) -> None:
    """It must exclude 1, or lie within the limit. Its width falls with the root of the number of
    pairs."""
    middle, half_width = np.log1p(change), 0.1
    ends = (middle, middle - half_width, middle + half_width)
    ratio = Interval(*(float(np.exp(end)) for end in ends))
    expected = 10 * (half_width / enough) ** 2
    assert pairs_needed(ratio, 0.03, 10) == pytest.approx(expected, rel=0.1)


def test_an_undecided_duel_needs_more_pairs_than_it_had() -> None:
    verdicts = [judge_pairs(samples(1.015, 0.02, 10, seed), limit=0.03) for seed in range(200)]
    undecided = [verdict.ratio for verdict in verdicts if verdict.kind == "undecided"]
    assert undecided
    assert all(pairs_needed(ratio, 0.03, 10) > 10 for ratio in undecided if ratio)


@pytest.mark.parametrize("count", LOOKS)
def test_equal_revisions_are_rarely_called_different(count: int) -> None:
    """One look in sixty is wrong, so that three looks are wrong in one of twenty duels."""
    verdicts = [judge_pairs(samples(1.0, 0.02, count, seed), 0.03) for seed in range(1500)]
    wrong = sum(verdict.kind in ("slower", "faster") for verdict in verdicts)
    assert wrong / 1500 == pytest.approx(0.05 / 3, abs=0.01)


def test_a_duel_ends_at_looks_only() -> None:
    clear, unclear = samples(0.8, 0.001, 15), samples(1.0, 0.5, 15)
    ends = [
        [n for n in range(2, 16) if not needs_more_pairs(ratios[:n], 0.03)]
        for ratios in (clear, unclear)
    ]
    assert ends == [list(LOOKS), [LOOKS[-1]]]

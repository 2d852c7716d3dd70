from math import comb

import numpy as np
import pytest

from benchmark.statistics import Interval, median_interval


@pytest.mark.parametrize(
    ("count", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (30, 10), (50, 18)]
)
def test_ranks_are_those_of_published_tables(count: int, rank: int) -> None:
    """Ranks of the 95 % sign-test interval, as in Conover, Practical Nonparametric Statistics."""
    interval = median_interval(list(range(1, count + 1)))
    assert (interval.low, interval.high) == (rank, count + 1 - rank)
    outside = 2 * sum(comb(count, k) for k in range(rank)) / 2**count
    assert outside <= 0.05 < outside + 2 * comb(count, rank) / 2**count


def test_few_samples_give_their_extremes() -> None:
    assert median_interval([3.0]) == Interval(3.0, 3.0, 3.0)
    assert median_interval([5.0, 1.0, 2.0]) == Interval(2.0, 1.0, 5.0)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    samples = random.lognormal(0, 1, (2000, 15))
    intervals = [median_interval(row.tolist()) for row in samples]
    held = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.95 <= held <= 0.98  # 96.5 % by its binomial ranks


def test_the_order_of_samples_does_not_matter() -> None:
    assert median_interval([4, 1, 3, 2, 9, 7]) == median_interval([9, 7, 4, 3, 2, 1])

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.statistics import PERCENTILES, Interval, interval, percentiles

POSITIVE = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=30)


def test_the_interval_is_students_of_the_logarithms() -> None:
    """t of 4 degrees of freedom at 97.5 % is 2.776 (NIST e-Handbook, table 1.3.6.7.2)."""
    logarithms = [1.0, 2.0, 3.0, 4.0, 5.0]
    error = 2.776 * (2.5 / 5) ** 0.5  # their variance is 2.5
    found = interval([exp(value) for value in logarithms])
    assert found.median == pytest.approx(exp(3))
    assert (log(found.low), log(found.high)) == pytest.approx((3 - error, 3 + error), abs=1e-3)


@given(POSITIVE)
def test_an_interval_holds_its_median_and_scales_with_the_unit(samples: list[float]) -> None:
    found = interval(samples)
    assert found.low <= found.median <= found.high
    scaled = interval([1000 * sample for sample in samples])
    assert scaled.low == pytest.approx(1000 * found.low)
    assert scaled.spread == pytest.approx(found.spread)
    assert interval(sorted(samples, reverse=True)).low == pytest.approx(found.low)


def test_more_confidence_is_a_wider_interval() -> None:
    samples = [1.0, 1.1, 0.9, 1.05]
    assert interval(samples, 0.99).spread > interval(samples, 0.95).spread


@pytest.mark.parametrize("count", [2, 5, 20])
def test_intervals_hold_the_truth_as_often_as_they_say(count: int) -> None:
    """4,000 times for samples that scatter by factors; the tolerance is 4 standard errors."""
    samples = np.random.default_rng(0).lognormal(log(50), 0.05, (4000, count))
    held = np.mean([50 in interval(row.tolist()) for row in samples])
    assert held == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 4000) ** 0.5)


def test_equal_samples_leave_no_doubt() -> None:
    found = interval([2.0, 2.0, 2.0])
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))
    assert found.spread == pytest.approx(0)


def test_an_interval_contains_its_ends() -> None:
    found = Interval(1.0, 0.9, 1.2)
    assert 0.9 in found
    assert 1.2 in found
    assert 1.21 not in found


def test_percentiles_of_a_ramp_are_its_values() -> None:
    assert percentiles(list(range(101))) == {f"p{n}": n for n in PERCENTILES}
    assert percentiles([1.0, 2.0])["p50"] == 1.5

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.common.statistics import (
    PERCENTILES,
    Interval,
    detectable,
    interval,
    percentiles,
    proportion,
)

POSITIVE = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=30)


def test_the_interval_is_students_of_the_logarithms() -> None:
    """t of 4 degrees of freedom at 97.5 % is 2.776 (NIST e-Handbook, table 1.3.6.7.2)."""
    logarithms = [1.0, 2.0, 3.0, 4.0, 5.0]
    error = 2.776 * (2.5 / 5) ** 0.5  # their variance is 2.5
    found = interval([exp(value) for value in logarithms])
    assert found.estimate == pytest.approx(exp(3))
    assert (log(found.low), log(found.high)) == pytest.approx((3 - error, 3 + error), abs=1e-3)


@given(POSITIVE)
def test_an_interval_holds_its_median_and_scales_with_the_unit(samples: list[float]) -> None:
    found = interval(samples)
    assert found.low <= found.estimate <= found.high
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


@pytest.mark.parametrize("counts", [(5, 5), (3, 10)])
def test_quotients_hold_the_truth_at_least_as_often_as_they_say(counts: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    one, other = (random.lognormal(log(50), 0.05, (2000, count)).tolist() for count in counts)
    pairs = zip(one, other, strict=True)
    held = np.mean([1 in interval(a).over(interval(b)) for a, b in pairs])
    assert 0.94 < held < 0.99


def test_a_quotient_has_the_errors_of_both() -> None:
    found = Interval(6.0, 5.0, 8.0).over(Interval(2.0, 2.0, 2.0))
    assert (found.estimate, found.low, found.high) == pytest.approx((3, 2.5, 4))
    assert found.over(found).spread > found.spread
    other = Interval(1.0, 1.0, 1.0).over(Interval(2.0, 1.0, 2.0))
    assert (other.low, other.high) == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize(
    ("ratio", "floor", "expected"),
    [
        ((0.97, 0.96, 0.98), (1.0, 0.99, 1.01), True),
        ((0.97, 0.96, 0.98), (1.0, 0.95, 1.05), False),
        ((0.97, 0.96, 0.98), (1.0, 0.96, 1.0), False),
        ((0.97, 0.93, 1.01), (1.0, 0.99, 1.01), False),
        ((1.03, 1.02, 1.04), (1.0, 0.99, 1.01), True),
        ((1.03, 1.02, 1.04), (1.0, 0.96, 1.01), False),
    ],
)
def test_a_difference_shows_beyond_its_interval_and_the_noise(ratio, floor, expected) -> None:
    assert detectable(Interval(*ratio), [Interval(*floor)]) == expected
    assert detectable(Interval(*ratio), [Interval(*floor), Interval(1, 0.5, 2)]) is False


def test_a_proportion_has_wilsons_interval() -> None:
    """Recomputed by the formula that the NIST e-Handbook gives in section 7.2.4.1."""
    found = proportion(4, 20, 0.9)
    z, p, n = 1.6449, 0.2, 20
    centre, reach = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    scale = 1 + z**2 / n
    assert (found.low, found.high) == pytest.approx(
        ((centre - reach) / scale, (centre + reach) / scale), abs=1e-4
    )
    assert proportion(0, 10).low == 0
    assert proportion(10, 10).high == 1


def test_percentiles_of_a_ramp_are_its_values() -> None:
    assert percentiles(list(range(101))) == {f"p{n}": n for n in PERCENTILES}
    assert percentiles([1.0, 2.0])["p50"] == 1.5

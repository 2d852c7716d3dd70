from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as student

from benchmark.common.statistics import (
    PERCENTILES,
    interval,
    mean_interval,
    percentiles,
    proportion,
)

POSITIVE = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=30)


def test_the_interval_is_students_of_the_logarithms() -> None:
    """t of 4 degrees of freedom at 97.5 % is 2.776 (NIST e-Handbook, table 1.3.6.7.2)."""
    logarithms = [1.0, 2.0, 3.0, 4.0, 5.0]
    error = 2.776 * (2.5 / 5) ** 0.5  # their variance is 2.5
    result = interval([exp(value) for value in logarithms])
    assert result.estimate == pytest.approx(exp(3))
    assert (log(result.low), log(result.high)) == pytest.approx((3 - error, 3 + error), abs=1e-3)


@given(POSITIVE)
def test_an_interval_stands_around_its_estimate_and_scales_with_the_unit(
    samples: list[float],
) -> None:
    result = interval(samples)
    assert log(result.high / result.estimate) == pytest.approx(log(result.estimate / result.low))
    scaled = interval([1000 * sample for sample in samples])
    assert scaled.low == pytest.approx(1000 * result.low)
    assert scaled.relative_width == pytest.approx(result.relative_width)
    assert interval(sorted(samples, reverse=True)).low == pytest.approx(result.low)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_intervals_hold_the_truth_as_often_as_they_say(count: int) -> None:
    """The share is from 4,000 lognormal samples; the tolerance is 4 standard errors."""
    samples = np.random.default_rng(0).lognormal(log(50), 0.05, (4000, count))
    held = np.mean([50 in interval(row.tolist()) for row in samples])
    assert held == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 4000) ** 0.5)


def test_equal_samples_leave_no_doubt() -> None:
    result = interval([2.0, 2.0, 2.0])
    assert (result.low, result.high) == pytest.approx((2.0, 2.0))
    assert result.relative_width == pytest.approx(0)


def coverage(true: float, random: np.random.Generator, cases: list[tuple[int, float]]) -> float:
    """Share of quotients of two intervals that contain the true quotient, for random samples."""
    drawn = [random.lognormal(log(50), scatter, (4000, n)).tolist() for n, scatter in cases]
    pairs = zip(*drawn, strict=True)
    return float(np.mean([true in interval(a).over(interval(b)) for a, b in pairs]))


@pytest.mark.parametrize(
    "cases",
    [
        [(5, 0.05), (5, 0.05)],
        [(5, 0.05), (16, 0.05)],
        [(5, 0.08), (16, 0.01)],
        [(6, 0.05), (2, 0.05)],
    ],
)
def test_quotients_hold_the_truth_as_often_as_they_say(cases: list[tuple[int, float]]) -> None:
    """Welch's interval is approximate, so its coverage may be 93 to 97 %."""
    assert 0.93 < coverage(1.0, np.random.default_rng(0), cases) < 0.97


def test_a_quotient_is_welchs() -> None:
    """Computed by hand: logarithms 0, 1, 2 and 0, 4 have squared errors 1 / 3 and 8 / 2."""
    one, other = interval([exp(x) for x in (0, 1, 2)]), interval([exp(x) for x in (0, 4)])
    result = one.over(other)
    squared = 1 / 3 + 4
    degrees = squared**2 / ((1 / 3) ** 2 / 2 + 4**2 / 1)
    assert result.estimate == pytest.approx(exp(-1))
    assert result.degrees == pytest.approx(degrees)
    reach = student.ppf(0.975, degrees) * squared**0.5
    assert (log(result.low), log(result.high)) == pytest.approx((-1 - reach, -1 + reach))


def test_a_quotient_of_what_does_not_scatter() -> None:
    sure, unsure = interval([2.0, 2.0, 2.0]), interval([4.0, 5.0])
    assert sure.over(sure).relative_width == pytest.approx(0)
    assert sure.over(unsure).relative_width == pytest.approx(unsure.inverse.relative_width)
    assert unsure.over(sure).inverse.low == pytest.approx(sure.over(unsure).low)


def test_a_mean_may_have_any_sign() -> None:
    """t of 2 degrees of freedom at 97.5 % is 4.303."""
    result = mean_interval([-1.0, 0.0, 1.0])
    assert (result.estimate, result.degrees) == (0, 2)
    assert (result.low, result.high) == pytest.approx((-4.303 / 3**0.5, 4.303 / 3**0.5), abs=1e-3)


def test_a_proportion_has_wilsons_interval() -> None:
    """Recomputed by the formula that the NIST e-Handbook gives in section 7.2.4.1."""
    result = proportion(4, 20, 0.9)
    z, p, n = 1.6449, 0.2, 20
    centre, reach = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    scale = 1 + z**2 / n
    assert (result.low, result.high) == pytest.approx(
        ((centre - reach) / scale, (centre + reach) / scale), abs=1e-4
    )
    assert proportion(0, 10).low == 0
    assert proportion(10, 10).high == 1


@given(
    st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.floats(0.5, 0.999),
)
def test_a_proportion_has_scipys_bits(counts: tuple[int, int], confidence: float) -> None:
    """scipy.stats takes a second to load, so it is not used for one formula."""
    scipys = binomtest(*counts).proportion_ci(confidence, method="wilson")
    result = proportion(*counts, confidence)
    assert (result.low, result.high) == (scipys.low, scipys.high)


def test_percentiles_of_a_ramp_are_its_values() -> None:
    assert percentiles(list(range(101))) == {f"p{n}": n for n in PERCENTILES}
    assert percentiles([1.0, 2.0])["p50"] == 1.5

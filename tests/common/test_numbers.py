import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.common import numbers
from benchmark.common.statistics import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((0.5, 0.49, 0.51), "0.500 (0.490 to 0.510)"),
        ((9.96, 9.62, 10.3), "9.96 (9.62 to 10.30)"),
        ((66.194, 63.917, 68.554), "66.2 (63.9 to 68.6)"),
        ((59.32, 52.1, 66.5), "59 (52 to 66)"),
        ((999.6, 990.0, 1009.0), "1,000 (990 to 1,009)"),
        ((4123.0, 4081.0, 4165.0), "4,120 (4,080 to 4,160)"),
        ((2_000_000.0, 1_970_000.0, 2_030_000.0), "2,000,000 (1,970,000 to 2,030,000)"),
        ((0.9741, 0.9635, 0.9848), "0.974 (0.964 to 0.985)"),
        ((10.02, 9.98, 10.06), "10.02 (9.98 to 10.06)"),
        ((1.0, 1.0, 1.0), "1.00 (1.00 to 1.00)"),
        ((50.0, 49.9999, 50.0001), "50.000 (50.000 to 50.000)"),
        ((0.0, -0.02, 0.02), "0.000 (-0.020 to 0.020)"),
        ((0.0, 0.0, 0.0), "0 (0 to 0)"),
        ((3.0, 0.1, 100.0), "3 (0.1 to 100)"),
        ((66.0, 0.5, 9000.0), "70 (0.5 to 9,000)"),
        ((0.004, 1e-5, 2.0), "0.004 (0.00001 to 2.0)"),
        ((0.0001, -0.02, 0.02), "0.000 (-0.020 to 0.020)"),
    ],
)
def test_an_interval_gives_an_estimate_its_digits(value: tuple[float, ...], text: str) -> None:
    assert numbers.interval(Interval(*value)) == text
    assert numbers.estimate(Interval(*value)) == text.partition(" ")[0]


def test_an_interval_wider_than_its_estimate_is_not_left_out() -> None:
    assert numbers.brief(Interval(66.2, 63.9, 68.6)) == "66.2"
    assert numbers.brief(Interval(3.0, 0.1, 100.0)) == "3 (0.1 to 100)"


def test_a_unit_stands_beside_the_estimate() -> None:
    text = numbers.interval(Interval(66.2, 63.9, 68.6), "images/s")
    assert text == "66.2 images/s (63.9 to 68.6)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500"), (4123.0, "4,120"), (2_000_000.0, "2,000,000"), (0.0123, "0.0123"), (0, "0")],
)
def test_a_number_has_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "1.00 ms"), (0.0123, "12.3 ms"), (0.5212, "521 ms"), (0.9999, "1.0 s"),
        (1.2, "1.2 s"), (1.8, "1.8 s"), (9.94, "9.9 s"), (9.97, "10 s"), (42.4, "42 s"),
        (59.6, "1 min 0 s"), (60, "1 min 0 s"), (203.2, "3 min 23 s"), (3599.6, "1 h 0 min"),
        (3600, "1 h 0 min"), (36_000, "10 h 0 min"), (108_000, "30 h 0 min"), (0, "0 ms"),
    ],
)  # fmt: skip
def test_a_time_is_in_units_that_one_can_picture(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(2**31, "2.0 GiB"), (2**30, "1.0 GiB"), (300 * 2**20, "300 MiB")]
)
def test_a_size_is_in_gib_or_mib(count: float, text: str) -> None:
    assert numbers.size(count) == text


@pytest.mark.parametrize(
    ("share", "places", "text"),
    [
        (0.75, 1, "75.0%"), (0.0, 1, "0.0%"), (1.0, 1, "100.0%"), (0.0004, 1, "0.04%"),
        (0.9996, 1, "99.96%"), (1 / 300, 0, "0.3%"), (0.005, 0, "0.5%"), (1999 / 2000, 0, "99.95%"),
        (1 - 1e-16, 1, "100.0%"), (1e-9, 1, "0.0%"), (-0.01, 1, "-1.0%"),
    ],
)  # fmt: skip
def test_a_share_is_0_or_100_percent_only_if_it_is(share: float, places: int, text: str) -> None:
    """Four more digits are tried: a rounding error is not worth more."""
    assert numbers.percent(share, places) == text


@given(st.floats(1e-4, 1e9), st.floats(1e-6, 0.5))
def test_what_is_said_is_near_what_was_found(middle: float, part: float) -> None:
    """Rounding changes the estimate by less than half of the interval's half-width."""
    value = Interval(middle, middle * (1 - part), middle * (1 + part))
    text = float(numbers.estimate(value).replace(",", ""))
    assert abs(text - middle) <= max(middle * part / 2, middle * 1e-4)


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 epoch"), (2, "2 epochs"), (1500, "1,500 epochs")]
)
def test_one_epoch_is_singular(count: int, text: str) -> None:
    assert numbers.epochs(count) == text

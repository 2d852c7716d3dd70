"""Two trainings get the strongest true claim, and none if their inputs differ."""

from math import exp, nan, sqrt
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.common.statistics import Interval
from benchmark.report import parity
from benchmark.report.comparison_schema import Parity
from benchmark.report.parity import Difference, difference, input_differences
from benchmark.report.schema import Absent, Record
from tests.support.made_records import absent, record, training

MARGIN = 0.05


def compare(one: Record | Absent, other: Record | Absent, tests: int = 1) -> Parity:
    return parity.compare(one, other, MARGIN, tests)


LOSSES = tuple(4 * exp(-step / 6) for step in range(12))


def moved(first: int, share: float) -> tuple[float, ...]:
    """Return LOSSES, larger by `share` from step `first` on (counted from 1)."""
    return tuple(x * (1 + share) if k >= first else x for k, x in enumerate(LOSSES, start=1))


def test_equal_weights_and_losses_are_equal_bits() -> None:
    result = compare(record(), record("gpu"))
    assert (result.kind, result.claim) == ("bit-equal", "bit-equal")
    assert result.first_different_step is None


SAME_ANSWERS = "1110" * 100
"""Enough equal answers to show that accuracies are equal within the margin."""


def test_losses_may_differ_later_if_the_answers_are_shown_to_be_equal() -> None:
    other = record("gpu", weights="v", losses=moved(8, 0.01), correct=SAME_ANSWERS)
    result = compare(record(correct=SAME_ANSWERS), other)
    assert (result.kind, result.equal_through_step, result.first_different_step) == (
        "equal within margin",
        7,
        8,
    )
    claim = "equal within 5 points: test accuracy +0.0 points (-0.5 to +0.5); "
    assert result.claim.startswith(claim)
    assert "; training losses equal within 0.001 up to step 7; first different bit" in result.claim


def test_few_equal_answers_show_nothing() -> None:
    """No difference is detected, but 40 images can only show one of 6.6 points or more."""
    few, more = "1110" * 10, "1110" * 9 + "0110"
    result = compare(
        record(correct=few), record("gpu", weights="v", losses=moved(1, 0.1), correct=more)
    )
    assert result.kind == "no difference detected"
    claim = (
        "no difference detected: 40 images can show 6.6 points or more; test accuracy -2.5 points ("
    )
    assert result.claim.startswith(claim)


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(-0.04, 0.04, True), (-0.06, 0.04, False), (-0.04, 0.06, False), (-0.05, 0.05, False)],
)
def test_equal_within_a_margin_is_an_interval_within_it(
    low: float, high: float, kind: bool
) -> None:
    accuracy = Difference(Interval(0.0, low, high), p=1.0, significance=0.05, images=40)
    assert accuracy.within(MARGIN) == kind


DIVERGED = (*LOSSES[:10], nan, nan)


@pytest.mark.parametrize(
    ("losses", "other", "kind", "through", "first_different"),
    [
        # the last step changes the weights after its loss is computed
        (LOSSES, LOSSES, "equal within tolerance", 12, None),
        (LOSSES, moved(3, 1e-5), "equal within tolerance", 12, 3),
        (LOSSES, moved(1, 0.01), "equal within margin", 0, 1),
        (LOSSES, (*LOSSES[:3], 9.0, *LOSSES[4:]), "equal within margin", 3, 4),
        (LOSSES, LOSSES[:8], "equal within margin", 8, None),
        (DIVERGED, DIVERGED, "equal within tolerance", 12, None),
        (DIVERGED, LOSSES, "equal within margin", 10, 11),
        ((100.0,) * 12, (100.05,) * 12, "equal within tolerance", 12, 1),
        ((0.01,) * 12, (0.0105,) * 12, "equal within margin", 0, 1),
    ],
)
def test_losses_are_compared_step_by_step(
    losses: Any, other: Any, kind: str, through: int, first_different: int | None
) -> None:
    """The final weights differ, and all answers are equal."""
    result = compare(record(losses=losses), record("gpu", weights="v", losses=other))
    assert (result.kind, result.equal_through_step) == (kind, through)
    assert result.first_different_step == first_different


@pytest.mark.parametrize(
    ("other", "claim"),
    [
        (LOSSES, "12 steps; all losses are equal bit for bit"),
        (moved(3, 1e-5), "equal within 0.001 in all 12 steps; first different bit at step 3"),
        (LOSSES[:8], "within 0.001 up to step 8, where one ends; all losses are equal bit for bit"),
    ],
)
def test_a_claim_names_the_steps(other: tuple[float, ...], claim: str) -> None:
    assert compare(record(), record("gpu", weights="v", losses=other)).claim.endswith(claim)


def test_other_answers_are_a_difference() -> None:
    other = record("gpu", weights="v", correct="0" * 40, losses=moved(5, 0.1))
    result = compare(record(correct="1" * 20 + "0" * 20), other)
    assert result.kind == "different"
    assert result.claim.endswith(
        "; training losses equal within 0.001 up to step 4; first different bit at step 5"
    )


def test_of_many_tests_one_finds_less_easily() -> None:
    one = record(correct="1" * 7 + "0" * 33)
    other = record("gpu", weights="v", correct="0" * 40, losses=moved(1, 0.1))
    p = 2 * NormalDist().cdf(-7 / sqrt(8 - 49 / 42))
    assert compare(one, other).p_value == pytest.approx(p)  # 0.0074
    assert "different: test accuracy -17.5 points (" in compare(one, other).claim
    assert "p = 0.0074, threshold 0.05;" in compare(one, other).claim
    assert compare(one, other).kind == "different"
    assert compare(one, other, tests=6).kind == "different"
    assert compare(one, other, tests=7).kind == "no difference detected"
    assert "p = 0.0074, threshold 0.0071;" in compare(one, other, tests=7).claim


@given(
    st.lists(st.sampled_from(["11", "10", "01", "00"]), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_the_interval_and_p_agree(answers: list[str], tests: int) -> None:
    """For any predictions and any number of tests."""
    one, other = ("".join(pair[k] for pair in answers) for k in (0, 1))
    accuracy = difference(one, other, 0.05 / tests)
    assert accuracy.detected == (0 not in accuracy.share)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"pixels": "x"}, "pixels"),
        ({"initial_weights": "x"}, "initial weights"),
        ({"order_by_epoch": ["o0", "o1", "x"]}, "sample orders"),
        ({"inputs": {"dataset": "x"}}, "datasets"),
        ({"inputs": {"parameters": "x"}}, "parameters"),
    ],
)
def test_other_inputs_are_not_compared(changed, named: str) -> None:
    result = compare(record(), record("gpu", **changed))
    assert (result.kind, result.claim) == ("not compared", f"not compared: {named} differ")
    assert (result.p_value, result.equal_through_step) == (None, None)


def test_other_code_may_give_the_same_result() -> None:
    assert compare(record(), record("gpu", inputs={"code": "x"})).kind == "bit-equal"


def test_orders_are_compared_over_the_epochs_that_both_ran() -> None:
    shorter = training(order_by_epoch=["o0", "o1"])
    assert input_differences(training(), shorter) == []
    assert input_differences(training(), training(order_by_epoch=["o0", "x"])) == ["sample orders"]


def test_an_absent_accelerator_is_not_compared() -> None:
    result = compare(record(), absent("gpu"))
    assert (result.kind, result.claim) == ("unavailable", "not compared: gpu is unavailable")


def test_the_difference_of_two_models_answers() -> None:
    """By hand: 7 lost and 2 gained in 40 images (7.5 and 2.5 in 42 with half an image more)."""
    one = "1" * 7 + "0" * 2 + "1" * 31
    other = "0" * 7 + "1" * 2 + "1" * 31
    share = difference(one, other).share
    middle, error = -5 / 42, 1.959964 * sqrt(10 - 25 / 42) / 42
    assert (share.estimate, share.low, share.high) == pytest.approx(
        (-5 / 40, middle - error, middle + error), abs=1e-6
    )
    assert difference("0" * 3, "1" * 3).share.high == 1

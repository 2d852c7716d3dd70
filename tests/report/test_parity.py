"""The strongest claim that holds for two trainings, and none where they were shown other things."""

from math import exp, nan, sqrt
from statistics import NormalDist

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


def moved(first: int, part: float) -> tuple[float, ...]:
    """LOSSES, larger by `part` from step `first` on (counted from 1)."""
    return tuple(x * (1 + part) if k >= first else x for k, x in enumerate(LOSSES, start=1))


def test_equal_weights_and_losses_are_equal_bits() -> None:
    found = compare(record(), record("gpu"))
    assert (found.kind, found.claim, found.first_different_step) == ("bit-equal", "bit-equal", None)


def test_a_rounding_is_within_the_tolerance() -> None:
    other = record("gpu", weights="v", losses=moved(3, 1e-5))
    found = compare(record(), other)
    assert found.kind == "equal within tolerance"
    said = "training losses equal within 0.001 in all 12 steps; first different bit at step 3"
    assert found.claim == said


ALIKE = "1110" * 100
"""Enough equal answers to show that accuracies are equal within the margin."""


def test_losses_may_part_later_if_the_answers_are_shown_to_be_equal() -> None:
    other = record("gpu", weights="v", losses=moved(8, 0.01), correct=ALIKE)
    found = compare(record(correct=ALIKE), other)
    assert (found.kind, found.equal_through_step, found.first_different_step) == (
        "equal within margin",
        7,
        8,
    )
    said = "equal within 5 points: test accuracy +0.0 points (-0.5 to +0.5); "
    assert found.claim.startswith(said)
    assert "; training losses equal within 0.001 up to step 7; first different bit" in found.claim


def test_few_equal_answers_show_nothing() -> None:
    """No difference is found, and 40 images would not show one of less than 6.6 points."""
    few, more = "1110" * 10, "1110" * 9 + "0110"
    found = compare(
        record(correct=few), record("gpu", weights="v", losses=moved(1, 0.1), correct=more)
    )
    assert found.kind == "no difference detected"
    said = (
        "no difference detected: 40 images can show 6.6 points or more; test accuracy -2.5 points ("
    )
    assert found.claim.startswith(said)


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(-0.04, 0.04, True), (-0.06, 0.04, False), (-0.04, 0.06, False), (-0.05, 0.05, False)],
)
def test_equal_within_a_margin_is_an_interval_within_it(
    low: float, high: float, kind: bool
) -> None:
    found = Difference(Interval(0.0, low, high), p=1.0, significance=0.05, images=40)
    assert found.within(MARGIN) == kind


def test_a_training_that_stopped_early_is_not_equal_through_the_last_step() -> None:
    found = compare(record(), record("gpu", weights="v", losses=LOSSES[:8]))
    assert (found.kind, found.equal_through_step) == ("equal within margin", 8)
    assert "; training losses equal within 0.001 up to step 8, where one ends; " in found.claim


def test_losses_that_are_no_numbers_do_not_part() -> None:
    diverged = (*LOSSES[:10], nan, nan)
    assert compare(record(losses=diverged), record("gpu", losses=diverged)).kind == "bit-equal"
    other = compare(record(losses=diverged), record("gpu", weights="v"))
    assert (other.kind, other.equal_through_step, other.first_different_step) == (
        "equal within margin",
        10,
        11,
    )


def test_losses_that_part_at_once_leave_the_answers() -> None:
    found = compare(record(), record("gpu", weights="v", losses=moved(1, 0.01)))
    assert (found.kind, found.equal_through_step) == ("equal within margin", 0)
    assert found.p_value == 1
    assert found.claim.startswith("equal within 5 points: test accuracy +0.0 points")
    assert "losses" not in found.claim


def test_other_answers_are_a_difference() -> None:
    other = record("gpu", weights="v", correct="0" * 40, losses=moved(5, 0.1))
    found = compare(record(correct="1" * 20 + "0" * 20), other)
    assert found.kind == "different"
    assert found.claim.endswith(
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
    """Whatever the answers, and of however many tests it is one."""
    one, other = ("".join(pair[k] for pair in answers) for k in (0, 1))
    found = difference(one, other, 0.05 / tests)
    assert found.detected == (0 not in found.share)


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
def test_what_was_shown_something_else_is_not_compared(changed, named: str) -> None:
    found = compare(record(), record("gpu", **changed))
    assert (found.kind, found.claim) == ("not compared", f"not compared: {named} differ")
    assert (found.p_value, found.equal_through_step) == (None, None)


def test_other_code_may_come_to_the_same() -> None:
    assert compare(record(), record("gpu", inputs={"code": "x"})).kind == "bit-equal"


def test_orders_are_compared_over_the_epochs_that_both_ran() -> None:
    shorter = training(order_by_epoch=["o0", "o1"])
    assert input_differences(training(), shorter) == []
    assert input_differences(training(), training(order_by_epoch=["o0", "x"])) == ["sample orders"]


def test_an_absent_accelerator_is_not_compared() -> None:
    found = compare(record(), absent("gpu"))
    assert (found.kind, found.claim) == ("unavailable", "not compared: gpu is unavailable")


def test_the_difference_of_two_models_answers() -> None:
    """By hand: of 40, 7 and 2 (7.5 and 2.5 of 42): (7 - 2) / 42, and sqrt(10 - 25 / 42) / 42."""
    one = "1" * 7 + "0" * 2 + "1" * 31
    other = "0" * 7 + "1" * 2 + "1" * 31
    found = difference(one, other).share
    middle, error = -5 / 42, 1.959964 * sqrt(10 - 25 / 42) / 42
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (-5 / 40, middle - error, middle + error), abs=1e-6
    )
    assert difference("0" * 3, "1" * 3).share.high == 1


def test_equal_losses_are_not_yet_equal_bits() -> None:
    """The last step moves the weights after its loss is known."""
    found = compare(record(), record("gpu", weights="v"))
    assert (found.kind, found.first_different_step) == ("equal within tolerance", None)
    assert found.claim == (
        "training losses equal within 0.001 in all 12 steps; all losses are equal bit for bit"
    )


def test_losses_that_come_together_again_have_parted() -> None:
    losses = tuple(x * 1.1 if k == 4 else x for k, x in enumerate(LOSSES, start=1))
    found = compare(record(), record("gpu", weights="v", losses=losses))
    assert (found.equal_through_step, found.first_different_step) == (3, 4)


@pytest.mark.parametrize(("loss", "other", "steps"), [(100.0, 100.05, 12), (0.01, 0.0105, 0)])
def test_the_tolerance_is_a_part_of_the_loss(loss: float, other: float, steps: int) -> None:
    one = record(losses=(loss,) * 12)
    found = compare(one, record("gpu", weights="v", losses=(other,) * 12))
    assert found.equal_through_step == steps

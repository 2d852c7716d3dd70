"""The strongest claim that holds for two trainings, and none where they were shown other things."""

from math import exp, nan, sqrt

import pytest

from benchmark.report.parity import compare, difference, input_differences, mcnemar
from tests.report.made import absent, record, training

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
    assert found.claim == "equal within 0.001 through step 12, the last; bits differ from step 3 on"


def test_losses_may_part_later_if_the_answers_do_not_differ() -> None:
    other = record("gpu", weights="v", losses=moved(8, 0.01))
    found = compare(record(), other)
    assert (found.kind, found.equal_through_step, found.first_different_step) == (
        "statistically equal",
        7,
        8,
    )
    assert "through step 7, then statistically equal (McNemar's exact test of 40" in found.claim


def test_a_training_that_stopped_early_is_not_equal_through_the_last_step() -> None:
    found = compare(record(), record("gpu", weights="v", losses=LOSSES[:8]))
    assert (found.kind, found.equal_through_step) == ("statistically equal", 8)
    assert "through step 8, where one ends, then statistically equal (" in found.claim


def test_losses_that_are_no_numbers_do_not_part() -> None:
    diverged = (*LOSSES[:10], nan, nan)
    assert compare(record(losses=diverged), record("gpu", losses=diverged)).kind == "bit-equal"
    other = compare(record(losses=diverged), record("gpu", weights="v"))
    assert (other.kind, other.equal_through_step, other.first_different_step) == (
        "statistically equal",
        10,
        11,
    )


def test_losses_that_part_at_once_leave_the_answers() -> None:
    found = compare(record(), record("gpu", weights="v", losses=moved(1, 0.01)))
    assert (found.kind, found.equal_through_step) == ("statistically equal", 0)
    assert found.p_value == 1


def test_other_answers_are_a_difference() -> None:
    other = record("gpu", weights="v", correct="0" * 40, losses=moved(5, 0.1))
    found = compare(record(correct="1" * 20 + "0" * 20), other)
    assert found.kind == "different"
    assert found.claim.endswith(
        "though equal within 0.001 through step 4; bits differ from step 5 on"
    )


def test_of_many_tests_one_finds_less_easily() -> None:
    one = record(correct="1" * 7 + "0" * 33)
    other = record("gpu", weights="v", correct="0" * 40, losses=moved(1, 0.1))
    assert compare(one, other).p_value == pytest.approx(2 / 2**7)
    assert "p = 0.016, different below 0.05; -17.5 points, " in compare(one, other).claim
    assert "p = 0.016, different below 0.013; -17.5 points, " in compare(one, other, tests=4).claim
    assert compare(one, other).kind == "different"
    assert compare(one, other, tests=4).kind == "statistically equal"


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


def test_mcnemar_counts_what_only_one_answers_right() -> None:
    """By hand: of 7 questions on which they differ one is the first's: 2 (1 + 7) / 2^7."""
    assert mcnemar("1" + "0" * 6 + "111", "0" + "1" * 6 + "111") == pytest.approx(16 / 128)
    assert mcnemar("1100", "1100") == 1
    assert mcnemar("10", "01") == 1


def test_the_difference_of_two_models_answers() -> None:
    """By hand: of 40, 7 and 2 (7.5 and 2.5 of 42): (7 - 2) / 42, and sqrt(10 - 25 / 42) / 42."""
    one = "1" * 7 + "0" * 2 + "1" * 31
    other = "0" * 7 + "1" * 2 + "1" * 31
    found = difference(one, other)
    middle, error = -5 / 42, 1.959964 * sqrt(10 - 25 / 42) / 42
    assert found == pytest.approx((-5 / 40, middle - error, middle + error), abs=1e-6)
    assert difference("0" * 3, "1" * 3)[2] == 1


def test_equal_losses_are_not_yet_equal_bits() -> None:
    """The last step moves the weights after its loss is known."""
    found = compare(record(), record("gpu", weights="v"))
    assert (found.kind, found.first_different_step) == ("equal within tolerance", None)
    assert found.claim == (
        "equal within 0.001 through step 12, the last; the losses are equal bit for bit"
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

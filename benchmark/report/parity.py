"""Whether two trainings have the same result, by the strongest claim that holds.

They are compared only where they were shown the same: equal digests of the data, the initial
weights, the order of samples and the pixels. Steps are counted from 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import isclose, isnan, sqrt
from statistics import NormalDist

from benchmark.common.formatting import p_value
from benchmark.common.statistics import Interval
from benchmark.report.schema import Absent, Kind, Parity, Record, TrainingRecord

TOLERANCE = 1e-3
"""Relative difference up to which the losses of a step are equal."""
SIGNIFICANCE = 0.05
"""Chance of calling one of several pairs different although none is (Bonferroni's bound)."""
TEST = "Wald's test of matched pairs"
LOSSES = f"training losses equal within {TOLERANCE:g}"


@dataclass(frozen=True)
class Difference:
    """What share more of the test images one model finds than another."""

    share: Interval
    """With an interval that excludes 0 where p is below the significance."""
    p: float
    """Of equal accuracies."""
    significance: float
    """Below which p is a difference."""
    images: int
    """In the test split."""

    @property
    def found(self) -> bool:
        """Whether there is one."""
        return self.p < self.significance

    @property
    def shown(self) -> float:
        """The least difference that so many images can show."""
        return (self.share.high - self.share.low) / 2

    def within(self, margin: float) -> bool:
        """Whether it is smaller than `margin`, whichever way: two one-sided tests."""
        return -margin < self.share.low and self.share.high < margin

    @property
    def change(self) -> str:
        """The difference in words."""
        ends = (self.share.estimate, self.share.low, self.share.high)
        middle, low, high = (f"{100 * each:+.1f}" for each in ends)
        usual = self.significance == SIGNIFICANCE
        level = "" if usual else f", a {100 * (1 - self.significance):.3g}% interval"
        return f"{middle} points ({low} to {high}{level})"

    @property
    def test(self) -> str:
        """The test in words."""
        return f"{TEST}, {self.images} images, {p_value(self.p)}, threshold {self.significance:.2g}"

    def __str__(self) -> str:
        return f"{self.change}; {self.test}"


def compare(one: Record | Absent, other: Record | Absent, margin: float, tests: int = 1) -> Parity:
    """Two records, whose answers are compared by one of `tests` tests, and are equal if their
    accuracies differ by less than `margin`."""
    for record in (one, other):
        if isinstance(record, Absent):
            return Parity(kind="unavailable", claim=f"not compared: {record.label} is unavailable")
    assert isinstance(one, Record)
    assert isinstance(other, Record)
    differences = input_differences(one.training, other.training)
    if differences:
        return Parity(
            kind="not compared", claim=f"not compared: {' and '.join(differences)} differ"
        )
    return _compare(one.training, other.training, margin, SIGNIFICANCE / tests)


def input_differences(one: TrainingRecord, other: TrainingRecord) -> list[str]:
    """What the two were not given alike; over the epochs that both ran, for early stopping may
    end one of them sooner."""
    inputs = one.result.inputs, other.result.inputs
    digests = one.result.digests, other.result.digests
    shared = min(len(each.order_by_epoch) for each in digests) - 1
    equal = {
        "datasets": tested(one) == tested(other),
        "parameters": inputs[0].parameters == inputs[1].parameters,
        "initial weights": digests[0].initial_weights == digests[1].initial_weights,
        "sample orders": digests[0].order_by_epoch[shared] == digests[1].order_by_epoch[shared],
        "pixels": digests[0].pixels == digests[1].pixels,
    }
    return [name for name, same in equal.items() if not same]


def tested(training: TrainingRecord) -> tuple[str, int]:
    """The data, and on how many images of them: an edited record may contradict a digest."""
    return training.result.inputs.dataset, len(training.correct)


def difference(one: str, other: str, significance: float = SIGNIFICANCE) -> Difference:
    """Of two models' answers to the same images, given as digits 0 and 1.

    The interval and p are of one statistic, so that they agree.

    Source: Agresti and Min, Statistics in Medicine 24 (2005): Wald's interval for matched pairs
    after half an image more of each of the four kinds.
    """
    pairs = list(zip(one, other, strict=True))
    lost, gained, asked = pairs.count(("1", "0")), pairs.count(("0", "1")), len(pairs)
    middle = (gained - lost) / (asked + 2)
    error = sqrt(gained + lost + 1 - (gained - lost) ** 2 / (asked + 2)) / (asked + 2)
    reach = NormalDist().inv_cdf(1 - significance / 2) * error
    p = 2 * NormalDist().cdf(-abs(middle) / error)
    share = Interval((gained - lost) / asked, max(-1.0, middle - reach), min(1.0, middle + reach))
    return Difference(share, p, significance, asked)


def _compare(
    one: TrainingRecord, other: TrainingRecord, margin: float, significance: float
) -> Parity:
    pairs = list(zip(one.losses, other.losses, strict=False))
    different = next((step for step, pair in enumerate(pairs, start=1) if not _same(pair)), None)
    through = len(list(takewhile(_close, pairs)))
    if different is None and one.result.digests.weights == other.result.digests.weights:
        return Parity(kind="bit-equal", claim="bit-equal", equal_through_step=through)
    found = difference(one.correct, other.correct, significance)
    kind, claim = _claim(through, {len(one.losses), len(other.losses)}, found, margin)
    return Parity(
        kind=kind,
        claim=claim + _where(different),
        equal_through_step=through,
        first_different_step=different,
        accuracy_difference=found.share,
        p_value=found.p,
    )


def _claim(through: int, ends: set[int], found: Difference, margin: float) -> tuple[Kind, str]:
    """In kind and in words; `ends` are the last steps of the two."""
    losses = _losses(through, through in ends)
    if found.found:
        return "different", f"different: test accuracy {found}{losses}"
    if ends == {through}:
        return "equal within tolerance", f"{LOSSES} in all {through} steps"
    if found.within(margin):
        equal = f"equal within {100 * margin:g} points: test accuracy {found}"
        return "equal within margin", equal + losses
    shown = f"{found.images} images can show {100 * found.shown:.1f} points or more"
    none = f"no difference detected: {shown}; test accuracy {found}"
    return "no difference detected", none + losses


def _losses(through: int, end: bool) -> str:
    """How long they were equal, and whether that is as long as one of the trainings."""
    if not through:
        return ""
    return f"; {LOSSES} up to step {through}{', where one ends' if end else ''}"


def _where(different: int | None) -> str:
    if different:
        return f"; first different bit at step {different}"
    return "; all losses are equal bit for bit"


def _same(pair: Sequence[float]) -> bool:
    one, other = pair
    return one == other or (isnan(one) and isnan(other))


def _close(pair: Sequence[float]) -> bool:
    return _same(pair) or isclose(*pair, rel_tol=TOLERANCE)

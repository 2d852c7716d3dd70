"""Compares the results of two trainings and states the strongest claim that is true.

Only trainings with the same inputs are compared: equal digests of the data, the initial
weights, the order of samples and the pixels. Steps are counted from 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import isclose, isnan, sqrt
from statistics import NormalDist

from benchmark.common.formatting import p_value
from benchmark.common.statistics import Interval
from benchmark.report.comparison_schema import Parity, ParityKind
from benchmark.report.schema import Absent, Record, TrainingRecord

TOLERANCE = 1e-3
"""Relative difference up to which two losses of a step count as equal."""
SIGNIFICANCE = 0.05
"""Risk that any of several pairs is called different although none is (Bonferroni's bound)."""
TEST = "Wald's test of matched pairs"
LOSSES = f"training losses equal within {TOLERANCE:g}"


@dataclass(frozen=True)
class Difference:
    """The accuracy of one model less that of another, on the same test images."""

    share: Interval
    """The difference; its interval excludes 0 where p is below the significance."""
    p: float
    """p of the test that both accuracies are equal."""
    significance: float
    """A difference is detected where p is below this threshold."""
    images: int
    """Number of test images."""

    @property
    def detected(self) -> bool:
        """Whether p is below the significance."""
        return self.p < self.significance

    def within(self, margin: float) -> bool:
        """Whether the interval lies within ±`margin` (two one-sided tests)."""
        return -margin < self.share.low and self.share.high < margin

    @property
    def change(self) -> str:
        """The difference in words."""
        ends = (self.share.estimate, self.share.low, self.share.high)
        middle, low, high = (f"{100 * end:+.1f}" for end in ends)
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
    """Return the parity of two records.

    Args:
        one: the first record.
        other: the second record.
        margin: accuracies that differ by less are equal.
        tests: number of significance tests that share the risk SIGNIFICANCE.
    """
    if isinstance(one, Absent) or isinstance(other, Absent):
        label = one.label if isinstance(one, Absent) else other.label
        return Parity(kind="unavailable", claim=f"not compared: {label} is unavailable")
    if one.network != other.network:
        return Parity(
            kind="not compared", claim=f"not compared: networks {one.network} and {other.network}"
        )
    differences = input_differences(one.training, other.training)
    if differences:
        return Parity(
            kind="not compared", claim=f"not compared: {' and '.join(differences)} differ"
        )
    return _compare(one.training, other.training, margin, SIGNIFICANCE / tests)


def input_differences(one: TrainingRecord, other: TrainingRecord) -> list[str]:
    """Return the names of the inputs in which the two trainings differ.

    Sample orders are compared over the epochs that both ran: early stopping may end one earlier.
    """
    inputs = one.result.inputs, other.result.inputs
    digests = one.result.digests, other.result.digests
    shared = min(len(digest.order_by_epoch) for digest in digests) - 1
    equal = {
        "datasets": dataset_identity(one) == dataset_identity(other),
        "parameters": inputs[0].parameters == inputs[1].parameters,
        "initial weights": digests[0].initial_weights == digests[1].initial_weights,
        "sample orders": digests[0].order_by_epoch[shared] == digests[1].order_by_epoch[shared],
        "pixels": digests[0].pixels == digests[1].pixels,
    }
    return [name for name, same in equal.items() if not same]


def dataset_identity(training: TrainingRecord) -> tuple[str, int]:
    """Return the dataset's digest and the number of test images.

    In an edited record, the digests may be equal and the numbers different.
    """
    return training.result.inputs.dataset, len(training.correct)


def difference(one: str, other: str, significance: float = SIGNIFICANCE) -> Difference:
    """Return the second accuracy less the first, with its interval and p.

    `one` and `other` have a digit for each test image: 1 if the prediction is correct, else 0.

    The interval and p belong to one statistic, so that they agree.

    Source: Agresti and Min, Statistics in Medicine 24 (2005): Wald's interval for matched pairs
    after half an image more in each of the four cells.
    """
    pairs = list(zip(one, other, strict=True))
    lost, gained, images = pairs.count(("1", "0")), pairs.count(("0", "1")), len(pairs)
    middle = (gained - lost) / (images + 2)
    error = sqrt(gained + lost + 1 - (gained - lost) ** 2 / (images + 2)) / (images + 2)
    reach = NormalDist().inv_cdf(1 - significance / 2) * error
    p = 2 * NormalDist().cdf(-abs(middle) / error)
    share = Interval((gained - lost) / images, max(-1.0, middle - reach), min(1.0, middle + reach))
    return Difference(share, p, significance, images)


def _compare(
    one: TrainingRecord, other: TrainingRecord, margin: float, significance: float
) -> Parity:
    """Return the parity of two trainings that had the same inputs."""
    losses = list(zip(one.losses, other.losses, strict=False))
    first_different = next(
        (step for step, pair in enumerate(losses, start=1) if not _equal_bits(pair)), None
    )
    close = (_equal_bits(pair) or isclose(*pair, rel_tol=TOLERANCE) for pair in losses)
    through = len(list(takewhile(bool, close)))
    if first_different is None and one.result.digests.weights == other.result.digests.weights:
        return Parity(kind="bit-equal", claim="bit-equal", equal_through_step=through)
    accuracy = difference(one.correct, other.correct, significance)
    kind, claim = _claim(through, {len(one.losses), len(other.losses)}, accuracy, margin)
    bits = "all losses are equal bit for bit"
    if first_different:
        bits = f"first different bit at step {first_different}"
    return Parity(
        kind=kind,
        claim=f"{claim}; {bits}",
        equal_through_step=through,
        first_different_step=first_different,
        accuracy_difference=accuracy.share,
        p_value=accuracy.p,
    )


def _claim(
    through: int, last_steps: set[int], accuracy: Difference, margin: float
) -> tuple[ParityKind, str]:
    """Return the strongest claim, as a kind and in words.

    Losses are equal within the tolerance up to step `through`; `last_steps` end the trainings.
    """
    losses = ""
    if through:
        end = ", where one ends" if through in last_steps else ""
        losses = f"; {LOSSES} up to step {through}{end}"
    if accuracy.detected:
        return "different", f"different: test accuracy {accuracy}{losses}"
    if last_steps == {through}:
        return "equal within tolerance", f"{LOSSES} in all {through} steps"
    if accuracy.within(margin):
        equal = f"equal within {100 * margin:g} points: test accuracy {accuracy}"
        return "equal within margin", equal + losses
    smallest = 100 * (accuracy.share.high - accuracy.share.low) / 2
    claim = f"no difference detected: {accuracy.images} images can show {smallest:.1f} points or "
    return "no difference detected", f"{claim}more; test accuracy {accuracy}{losses}"


def _equal_bits(losses: Sequence[float]) -> bool:
    return losses[0] == losses[1] or all(map(isnan, losses))

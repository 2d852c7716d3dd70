"""Whether two trainings have the same result, by the strongest claim that holds.

They are compared only where they were shown the same: equal digests of the data, the initial
weights, the order of samples and the pixels. Steps are counted from 1.
"""

from collections.abc import Sequence
from itertools import takewhile
from math import isclose, isnan, sqrt
from statistics import NormalDist

from scipy.stats import binomtest

from benchmark.report.schema import Absent, Kind, Parity, Record, TrainingRecord

TOLERANCE = 1e-3
"""Relative difference up to which the losses of a step are equal."""
SIGNIFICANCE = 0.05
"""Chance of calling one of several pairs different although none is (Bonferroni's bound)."""
TEST = "McNemar's exact test"


def compare(one: Record | Absent, other: Record | Absent, tests: int = 1) -> Parity:
    """Two records, whose answers are compared by one of `tests` tests."""
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
    return _compare(one.training, other.training, SIGNIFICANCE / tests)


def input_differences(one: TrainingRecord, other: TrainingRecord) -> list[str]:
    """What the two were not given alike; over the epochs that both ran, for early stopping may
    end one of them sooner."""
    inputs = one.result.inputs, other.result.inputs
    digests = one.result.digests, other.result.digests
    shared = min(len(each.order_by_epoch) for each in digests) - 1
    equal = {
        "datasets": inputs[0].dataset == inputs[1].dataset,
        "parameters": inputs[0].parameters == inputs[1].parameters,
        "initial weights": digests[0].initial_weights == digests[1].initial_weights,
        "sample orders": digests[0].order_by_epoch[shared] == digests[1].order_by_epoch[shared],
        "pixels": digests[0].pixels == digests[1].pixels,
    }
    return [name for name, same in equal.items() if not same]


def mcnemar(one: str, other: str) -> float:
    """The p-value of two models' answers to the same questions, given as digits 0 and 1.

    Under equal accuracies, questions that only one answers right fall to either alike.
    Source: McNemar, Psychometrika 12 (1947); the exact, binomial form.
    """
    pairs = list(zip(one, other, strict=True))
    first, second = pairs.count(("1", "0")), pairs.count(("0", "1"))
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def difference(one: str, other: str) -> tuple[float, float, float]:
    """What share more the other's answers are right, with the ends of an interval of 95 %.

    Source: Agresti and Min, Statistics in Medicine 24 (2005): Wald's interval for matched pairs
    after half a question more of each of the four kinds.
    """
    pairs = list(zip(one, other, strict=True))
    lost, gained, asked = pairs.count(("1", "0")), pairs.count(("0", "1")), len(pairs)
    middle = (gained - lost) / (asked + 2)
    spread = sqrt(gained + lost + 1 - (gained - lost) ** 2 / (asked + 2)) / (asked + 2)
    error = NormalDist().inv_cdf(0.975) * spread
    return (gained - lost) / asked, max(-1.0, middle - error), min(1.0, middle + error)


def _compare(one: TrainingRecord, other: TrainingRecord, significance: float) -> Parity:
    pairs = list(zip(one.losses, other.losses, strict=False))
    different = next((step for step, pair in enumerate(pairs, start=1) if not _same(pair)), None)
    through = len(list(takewhile(_close, pairs)))
    if different is None and one.result.digests.weights == other.result.digests.weights:
        return Parity(kind="bit-equal", claim="bit-equal", equal_through_step=through)
    p = mcnemar(one.correct, other.correct)
    ends = {len(one.losses), len(other.losses)}
    kind, claim = _claim(through, ends, p < significance, _measured(one, other, p, significance))
    return Parity(
        kind=kind,
        claim=claim + _where(different),
        equal_through_step=through,
        first_different_step=different,
        p_value=p,
    )


def _measured(one: TrainingRecord, other: TrainingRecord, p: float, significance: float) -> str:
    """The test and the difference of the accuracies, in words."""
    change, low, high = (100 * part for part in difference(one.correct, other.correct))
    return (
        f"{TEST} of {len(one.correct)} test images, p = {p:.2g}, different below "
        f"{significance:.2g}; {change:+.1f} points, {low:+.1f} to {high:+.1f}"
    )


def _claim(through: int, ends: set[int], differ: bool, measured: str) -> tuple[Kind, str]:
    """In kind and in words; `ends` are the last steps of the two."""
    within = f"equal within {TOLERANCE:g} through step {through}"
    if differ:
        return "different", f"different ({measured})" + (f", though {within}" if through else "")
    if ends == {through}:
        return "equal within tolerance", f"{within}, the last"
    if through:
        end = ", where one ends" if through in ends else ""
        return "statistically equal", f"{within}{end}, then statistically equal ({measured})"
    return "statistically equal", f"statistically equal ({measured})"


def _where(different: int | None) -> str:
    if different:
        return f"; bits differ from step {different} on"
    return "; the losses are equal bit for bit"


def _same(pair: Sequence[float]) -> bool:
    one, other = pair
    return one == other or (isnan(one) and isnan(other))


def _close(pair: Sequence[float]) -> bool:
    return _same(pair) or isclose(*pair, rel_tol=TOLERANCE)

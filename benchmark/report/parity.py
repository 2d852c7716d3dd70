"""Whether two trainings came to the same, by the strongest claim that holds.

They are compared only where they were shown the same: equal digests of the data, the initial
weights, the order of samples and the pixels. Steps are counted from 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import isclose, isnan, sqrt
from statistics import NormalDist

from scipy.stats import binomtest

from benchmark.record import Record, Training

TOLERANCE = 1e-3
"""Relative difference up to which the losses of a step are equal."""
SIGNIFICANCE = 0.05
"""Chance of calling one of several pairs different although none is (Bonferroni's bound)."""
TEST = "McNemar's exact test"


@dataclass(frozen=True)
class Parity:
    """What can be said of a pair."""

    kind: str
    """bit-equal, equal within tolerance, statistically equal, different, not compared, or
    unavailable, where one of the pair was not there."""
    claim: str
    """The same in words."""
    through_step: int | None = None
    """The losses are equal within TOLERANCE up to this step; the kind is named after it only if
    that is the last step of both."""
    parted_at: int | None = None
    """The first step whose losses differ in any bit; None if there is none."""
    p: float | None = None
    """Of TEST on the two answers to each test image."""


def compare(one: Record, other: Record, tests: int = 1) -> Parity:
    """Two records, whose answers are compared by one of `tests` tests."""
    for record in (one, other):
        if not record.available:
            return Parity("unavailable", f"not compared: {record.label} is unavailable")
    differences = unlike(one.training, other.training)
    if differences:
        return Parity("not compared", f"not compared: {' and '.join(differences)} differ")
    return _compare(one.training, other.training, SIGNIFICANCE / tests)


def unlike(one: Training, other: Training) -> list[str]:
    """What the two were not given alike; over the epochs that both ran, for early stopping may
    end one of them sooner."""
    inputs = one.result["inputs"], other.result["inputs"]
    shared = min(len(t.digests["order_by_epoch"]) for t in (one, other)) - 1
    orders = [t.digests["order_by_epoch"][shared] for t in (one, other)]
    equal = {
        "datasets": inputs[0]["dataset"] == inputs[1]["dataset"],
        "parameters": inputs[0]["parameters"] == inputs[1]["parameters"],
        "initial weights": one.digests["initial_weights"] == other.digests["initial_weights"],
        "sample orders": orders[0] == orders[1],
        "pixels": one.digests["pixels"] == other.digests["pixels"],
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


def _compare(one: Training, other: Training, significance: float) -> Parity:
    pairs = list(zip(one.losses, other.losses, strict=False))
    parted = next((step for step, pair in enumerate(pairs, start=1) if not _same(pair)), None)
    through = len(list(takewhile(_close, pairs)))
    if parted is None and one.digests["weights"] == other.digests["weights"]:
        return Parity("bit-equal", "bit-equal", through)
    p = mcnemar(one.correct, other.correct)
    change, low, high = (100 * part for part in difference(one.correct, other.correct))
    measured = (
        f"{TEST} of {len(one.correct)} test images, p = {p:.2g}, different below "
        f"{significance:.2g}; {change:+.1f} points, {low:+.1f} to {high:+.1f}"
    )
    ends = {len(one.losses), len(other.losses)}
    kind, claim = _claim(through, ends, p < significance, measured)
    return Parity(kind, claim + _where(parted), through, parted, p)


def _claim(through: int, ends: set[int], differ: bool, measured: str) -> tuple[str, str]:
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


def _where(parted: int | None) -> str:
    return f"; bits part at step {parted}" if parted else "; the losses are equal bit for bit"


def _same(pair: Sequence[float]) -> bool:
    one, other = pair
    return one == other or (isnan(one) and isnan(other))


def _close(pair: Sequence[float]) -> bool:
    return _same(pair) or isclose(*pair, rel_tol=TOLERANCE)

"""Whether two trainings came to the same, by the strongest claim that holds.

They are compared only where they were shown the same: equal digests of the data, the initial
weights, the order of samples and the pixels. Steps are counted from 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import isclose

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
    """The losses are equal within TOLERANCE up to this step."""
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


def _compare(one: Training, other: Training, significance: float) -> Parity:
    pairs = list(zip(one.losses, other.losses, strict=False))
    parted = next((step for step, (a, b) in enumerate(pairs, start=1) if a != b), None)
    through = len(list(takewhile(_close, pairs)))
    if parted is None and one.digests["weights"] == other.digests["weights"]:
        return Parity("bit-equal", "bit-equal", through)
    p = mcnemar(one.correct, other.correct)
    measured = f"{TEST} of {len(one.correct)} test images, p = {p:.2g}"
    kind, claim = _claim(through, len(pairs), p < significance, measured)
    return Parity(kind, claim + _where(parted), through, parted, p)


def _claim(through: int, steps: int, differ: bool, measured: str) -> tuple[str, str]:
    within = f"equal within {TOLERANCE:g} through step {through}"
    if differ:
        return "different", f"different ({measured})" + (f", though {within}" if through else "")
    if through == steps:
        return "equal within tolerance", f"{within}, the last"
    if through:
        return "equal within tolerance", f"{within}, then statistically equal ({measured})"
    return "statistically equal", f"statistically equal ({measured})"


def _where(parted: int | None) -> str:
    return f"; bits part at step {parted}" if parted else "; the losses are equal bit for bit"


def _close(pair: Sequence[float]) -> bool:
    return isclose(*pair, rel_tol=TOLERANCE)

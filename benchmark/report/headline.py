"""What a reader sees first: the comparison in one sentence, and what must be known before it."""

from collections.abc import Mapping, Sequence

from benchmark.common import numbers
from benchmark.common.statistics import Interval
from benchmark.report.entries import software, title, trainings
from benchmark.report.schema import Absent, Entry, Pair, Record

SHOWN = 3
"""Names in a line that is about many."""
KINDS = {
    "equal within tolerance": "equal within tolerance at each step",
    "equal within margin": "accuracies equal within the margin",
    "no difference detected": "no difference of accuracies detected",
    "different": "accuracies different",
}
"""Kinds of parity of which the name alone says too little."""
NOTHING = "No accelerator of the list is on this machine, so nothing was measured."


def summary(
    accelerators: Sequence[Entry | Absent], pairs: Sequence[Pair], machines: Sequence[Entry]
) -> str:
    """The comparison in a sentence, and the fastest of other machines in another one."""
    present = [entry for entry in accelerators if isinstance(entry, Entry)]
    if not present:
        return NOTHING + _elsewhere(machines)
    absent = [entry.label for entry in accelerators if isinstance(entry, Absent)]
    sentence = _alone(present[0]) if len(present) == 1 else _among(present, pairs)
    end = f"; {' and '.join(absent)} not measured." if absent else "."
    return sentence + end + _elsewhere(machines)


def flags(entries: Mapping[str, Entry], reference: Record | None) -> list[str]:
    """What must be known before a speed is read, a line for each kind of doubt."""
    kinds: dict[str, list[str]] = {}
    for name, entry in entries.items():
        assert reference
        for kind, names in _doubts(name, entry, reference).items():
            kinds.setdefault(kind, []).extend(names)
    return [f"{kind}: {few(names)}." for kind, names in kinds.items()]


def few(names: Sequence[str]) -> str:
    """The first of many; their entries say the rest."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _doubts(name: str, entry: Entry, reference: Record) -> dict[str, list[str]]:
    """By what they are, the names of those that have them."""
    doubts: dict[str, list[str]] = {}
    if entry.throughput.not_compared:
        doubts[f"No ratio of speeds ({entry.throughput.not_compared})"] = [name]
    known = software(reference)
    if others := [f"{n} {v}" for n, v in entry.software.items() if known.get(n) != v]:
        doubts[f"Other software, {', '.join(others)}"] = [name]
    if entry.code != reference.training.result.inputs.code:
        doubts["Other training code"] = [name]
    if _within_chance(entry):
        doubts["No more accurate than a guess"] = [name]
    if not entry.throughput.verdict.stable:
        doubts["Unstable speed"] = [name]
    if entry.control and (unlike := entry.control.alike.differences()):
        doubts[f"A control of other {', '.join(unlike)}"] = [name]
    parted = [n for n, run in trainings(name, entry).items() if not run.replay.bitwise]
    return {**doubts, "Not reproduced": parted} if parted else doubts


def _elsewhere(machines: Sequence[Entry]) -> str:
    """The fastest of those that may be compared, and how many there are; empty without any."""
    alike = [entry for entry in machines if not entry.throughput.not_compared]
    if not alike:
        return ""
    best = max(alike, key=_rate)
    rate = numbers.estimate(best.rate)
    where = f"{best.device}, {title(best.label, best.machine)}"
    if len(alike) == 1:
        return f" On another machine {where}, trains {rate} images/s."
    return f" The fastest of {len(alike)} on other machines, {where}, trains {rate} images/s."


def _alone(entry: Entry, faster: str = "") -> str:
    return (
        f"{entry.label} trains {numbers.estimate(entry.rate)} images/s{faster} and reaches "
        f"{entry.training.test_accuracy.estimate:.1%} test accuracy{_guessed(entry)}"
        f"{_control(entry)}"
    )


def _guessed(entry: Entry) -> str:
    """That an accuracy may be chance; empty where it is not."""
    if not _within_chance(entry):
        return ""
    return (
        ", not detectably more than always naming the commonest class would "
        f"({entry.training.commonest_class:.1%})"
    )


def _within_chance(entry: Entry) -> bool:
    return entry.training.test_accuracy.low <= entry.training.commonest_class


def _control(entry: Entry) -> str:
    """What the control reached, if there is one."""
    if not entry.control:
        return ""
    return f" ({entry.control.test_accuracy.estimate:.1%} from random weights)"


def _among(present: Sequence[Entry], pairs: Sequence[Pair]) -> str:
    """The fastest of those that may be compared with the reference, and how equal they are."""
    first = present[0]
    compared = [e for e in present[1:] if e.throughput.ratio_to_reference]
    apart = [e.label for e in present[1:] if e not in compared]
    sentence = (
        _lead(first, sorted(compared, key=_rate, reverse=True)) if compared else _alone(first)
    )
    if apart:
        sentence += (
            f"; the speed of {' and '.join(apart)} cannot be compared with that of {first.label}"
        )
    return f"{sentence}; results: {_kinds({entry.label for entry in present}, pairs)}"


def _kinds(labels: set[str], pairs: Sequence[Pair]) -> str:
    """How equal their results are: a kind if it is that of all, else who is meant by each."""
    kinds: dict[str, list[str]] = {}
    for pair in pairs:
        if labels >= {pair.one, pair.other}:
            kind = KINDS.get(pair.kind, pair.kind)
            kinds.setdefault(kind, []).append(f"{pair.one} and {pair.other}")
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{kind} ({few(names)})" for kind, names in kinds.items())


def _lead(reference: Entry, others: Sequence[Entry]) -> str:
    """The faster of the reference and the best of the others, against the other one, and against
    the second if that is a third one."""
    best = others[0]
    ratio = best.throughput.ratio_to_reference
    assert ratio
    fast, slow = (best, reference) if ratio.estimate > 1 else (reference, best)
    if not best.throughput.detectable:
        return f"{_alone(fast)}, no difference to {slow.label} detected"
    faster = _times(ratio if ratio.estimate > 1 else ratio.inverse, f"the rate of {slow.label}")
    if fast is best and len(others) > 1 and _rate(others[1]) > _rate(reference):
        faster += f" and {_times(best.rate.over(others[1].rate), f'that of {others[1].label}')}"
    return _alone(fast, f", {faster},")


def _times(found: Interval, whose: str) -> str:
    ends = numbers.interval(found).partition(" ")[2]
    return f"{numbers.estimate(found)} times {whose} {ends}"


def _rate(entry: Entry) -> float:
    return entry.rate.estimate

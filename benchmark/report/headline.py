"""The first lines of a report: the comparison in one sentence, and warnings about it."""

from collections.abc import Mapping, Sequence

from benchmark.common import numbers
from benchmark.common.statistics import Interval
from benchmark.report.comparison_schema import Entry, NamedParity
from benchmark.report.entries import title, trainings
from benchmark.report.schema import Absent
from benchmark.report.sessions import widened_ratio

MOST_NAMES = 3
"""Largest number of names in a line about many accelerators."""
WORTH_NAMING = 1.1
"""Factor of the run's rate above which a verdict names the rate at the best batch size too."""
KINDS = {
    "equal within tolerance": "equal within tolerance at each step",
    "equal within margin": "accuracies equal within the margin",
    "no difference detected": "no difference of accuracies detected",
    "different": "accuracies different",
}
"""Longer words for kinds of parity whose names alone say too little."""
NOTHING = "No accelerator of the list is on this machine, so nothing was measured."


def summary(
    accelerators: Sequence[Entry | Absent],
    pairs: Sequence[NamedParity],
    machines: Sequence[Entry],
) -> str:
    """Return the comparison in one sentence, and a second about the fastest other machine."""
    present = [entry for entry in accelerators if isinstance(entry, Entry)]
    if not present:
        return NOTHING + _fastest_elsewhere(machines)
    absent = [entry.label for entry in accelerators if isinstance(entry, Absent)]
    several = len(present) > 1
    sentence = _describe_several(present, pairs) if several else _describe(present[0])
    end = f"; {' and '.join(absent)} not measured." if absent else "."
    networks = dict.fromkeys(entry.network for entry in present)
    if other_networks := sorted({entry.network for entry in machines} - {*networks}):
        sentence = f"{' and '.join(networks)}: {sentence}"
        end += f" Records of {' and '.join(other_networks)} have no ratio to these."
    at_best = "".join(_at_best(entry, present[0].label) for entry in present)
    return sentence + end + at_best + _fastest_elsewhere(machines)


def flags(entries: Mapping[str, Entry], reference: str | None) -> list[str]:
    """Return a warning for each kind of doubt, with the names of all entries that it is about."""
    names_by_doubt: dict[str, list[str]] = {}
    for name, entry in entries.items():
        for doubt, names in _doubts(name, entry, entries[reference or name]).items():
            names_by_doubt.setdefault(doubt, []).extend(names)
    return [f"{doubt}: {few(names)}." for doubt, names in names_by_doubt.items()]


def few(names: Sequence[str]) -> str:
    """Join the first MOST_NAMES names and the number of the others."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _doubts(name: str, entry: Entry, reference: Entry) -> dict[str, list[str]]:
    """Return the doubts about one entry, each with the names that the warning lists."""
    doubts: dict[str, list[str]] = {}
    if reason := entry.relative_speed.not_compared:
        doubts[f"No ratio of speeds ({reason})"] = [name]
    versions = reference.software
    if other_versions := [f"{n} {v}" for n, v in entry.software.items() if versions.get(n) != v]:
        doubts[f"Other software, {', '.join(other_versions)}"] = [name]
    if entry.training.result.inputs.code != reference.training.result.inputs.code:
        doubts["Other training code"] = [name]
    if _within_chance(entry):
        doubts["No more accurate than a guess"] = [name]
    if not entry.throughput.verdict.stable:
        doubts["Unstable speed"] = [name]
    if entry.control:
        inputs = entry.control.equal_inputs.in_words()
        if differences := [name for name, equal in inputs.items() if not equal]:
            doubts[f"A control with other {', '.join(differences)}"] = [name]
    runs = trainings(name, entry).items()
    if different := [run_name for run_name, run in runs if not run.replay.bitwise]:
        doubts["Not reproduced"] = different
    return doubts


def _fastest_elsewhere(machines: Sequence[Entry]) -> str:
    """Return a sentence about the fastest comparable entry; empty if none is comparable."""
    comparable = [entry for entry in machines if not entry.relative_speed.not_compared]
    if not comparable:
        return ""
    best = max(comparable, key=_rate)
    rate = numbers.brief(best.throughput.images_per_second)
    where = f"{best.device}, {title(best)}"
    at_best = _at_best(best)
    if len(comparable) == 1:
        return f" On another machine {where}, trains {rate} images/s.{at_best}"
    words = f" The fastest of {len(comparable)} on other machines, {where}, trains {rate} images/s."
    return words + at_best


def _at_best(entry: Entry, reference: str = "") -> str:
    """Return a sentence about the fastest batch size; empty unless its rate is WORTH_NAMING.

    The rate is compared with that of `reference` at its fastest batch size, if it is faster.
    """
    best = entry.throughput.curve and entry.throughput.curve.best
    if not best or best.ratio.estimate <= WORTH_NAMING:
        return ""
    rate, ratio = numbers.brief(best.images_per_second), entry.relative_best.ratio
    sentence = f" At its best batch size, {best.batch_size:,}, {entry.label} trains {rate} images/s"
    if reference and ratio and ratio.low > 1:
        sentence += f", {_times(ratio, f'the best rate of {reference}')}"
    return f"{sentence}."


def _describe(entry: Entry, comparison: str = "") -> str:
    """Return one accelerator's speed and accuracy in words; `comparison` follows the speed."""
    training = entry.training
    rate = numbers.brief(entry.throughput.images_per_second)
    sentence = (
        f"{entry.label} trains {rate} images/s{comparison} and reaches "
        f"{numbers.percent(training.test_accuracy.estimate)} test accuracy"
    )
    if _within_chance(entry):
        sentence += (
            ", not detectably more than always predicting the most frequent class "
            f"({numbers.percent(training.commonest_class)})"
        )
    if entry.control:
        accuracy = numbers.percent(entry.control.test_accuracy.estimate)
        sentence += f" ({accuracy} from random weights)"
    return sentence


def _within_chance(entry: Entry) -> bool:
    """Whether the accuracy may be as low as that of always predicting one class."""
    return entry.training.test_accuracy.low <= entry.training.commonest_class


def _describe_several(present: Sequence[Entry], pairs: Sequence[NamedParity]) -> str:
    """Return the sentence about several accelerators: the fastest one and the kinds of parity."""
    reference = present[0]
    compared = [entry for entry in present[1:] if entry.relative_speed.ratio]
    sentence = (
        _describe_fastest(reference, sorted(compared, key=_rate, reverse=True))
        if compared
        else _describe(reference)
    )
    not_compared = [entry.label for entry in present[1:] if not entry.relative_speed.ratio]
    if not_compared:
        sentence += (
            f"; the speed of {' and '.join(not_compared)} cannot be compared with that of "
            f"{reference.label}"
        )
    return f"{sentence}; results: {_kinds({entry.label for entry in present}, pairs)}"


def _kinds(labels: set[str], pairs: Sequence[NamedParity]) -> str:
    """Return the kinds of parity in words; if there are several, each with its pairs."""
    kinds: dict[str, list[str]] = {}
    for pair in pairs:
        if labels >= {pair.one, pair.other}:
            kind = KINDS.get(pair.kind, pair.kind)
            kinds.setdefault(kind, []).append(f"{pair.one} and {pair.other}")
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{kind} ({few(names)})" for kind, names in kinds.items())


def _describe_fastest(reference: Entry, compared: Sequence[Entry]) -> str:
    """Return the speed of the faster of the reference and the best other entry, in words.

    It is compared with the slower of the two. If two entries are faster than the reference, it is
    also compared with the second of these.
    """
    best = compared[0]
    ratio = best.relative_speed.ratio
    assert ratio
    fast, slow = (best, reference) if ratio.estimate > 1 else (reference, best)
    if not best.relative_speed.detectable:
        return f"{_describe(fast)}, no difference to {slow.label} detected"
    times = _times(ratio if ratio.estimate > 1 else ratio.inverse, f"the rate of {slow.label}")
    if fast is best and len(compared) > 1 and _rate(compared[1]) > _rate(reference):
        second = compared[1]
        ratio = widened_ratio(
            (best.throughput.images_per_second, best.session_spread),
            (second.throughput.images_per_second, second.session_spread),
        )
        if 1 in ratio:
            times += f" and not detectably faster than {second.label}"
        else:
            times += f" and {_times(ratio, f'that of {second.label}')}"
    return _describe(fast, f", {times},")


def _times(ratio: Interval, whose: str) -> str:
    ends = numbers.interval(ratio).partition(" ")[2]
    return f"{numbers.estimate(ratio)} times {whose} {ends}"


def _rate(entry: Entry) -> float:
    return entry.throughput.images_per_second.estimate

"""What a reader can do next, from what the comparison shows."""

from collections.abc import Iterator

from benchmark.common import numbers
from benchmark.report.schema import Absent, Comparison, Entry
from benchmark.report.sessions import LEAST
from benchmark.report.view import Marked
from benchmark.report.wording import here
from benchmark.throughput.schema import SweepPoint

RUN = "`.venv/bin/python -m benchmark"
UNSETTLED = ("different", "no difference detected")
SHARE = 0.1
"""Part of a step from which it is worth an attempt to shorten it."""
LITTLE = 0.2
"""Utilisation below which a device may well wait for its host to tell it what to do."""


def steps(comparison: Comparison) -> list[Marked]:
    """A line for each step."""
    return [Marked(line) for line in _lines(comparison)]


def _lines(comparison: Comparison) -> Iterator[str]:
    same: dict[str, list[str]] = {}
    for entry in comparison.present:
        for line in _entry(entry):
            same.setdefault(line, []).append(entry.label)
    yield from (f"{', '.join(labels)}: {line}" for line, labels in same.items())
    absent = [entry.label for entry in comparison.accelerators if isinstance(entry, Absent)]
    if absent:
        yield (
            f"To add {' or '.join(absent)}: run `make repro` and {RUN} export` on a machine that "
            "has it, and commit the file that this writes under `reports/machines/`."
        )
    if any(pair.kind in UNSETTLED for pair in here(comparison)):
        yield (
            "Accuracies differ by chance as well: name further `seeds`, and the report shows how "
            "much those differ."
        )
    if comparison.present:
        yield f"After a change of the code: {RUN} duel HEAD` tells whether training got slower."


def _entry(entry: Entry) -> Iterator[str]:
    found = entry.throughput
    yield from _faster(entry)
    if found.verdict.advice:
        yield f"the speed is unstable: {found.verdict.advice}."
    elif not found.interval_width.met:
        yield "for narrower intervals raise `throughput.budget_seconds`."
    if found.sessions < LEAST:
        yield (
            f"measure in {LEAST} sessions and run {RUN} export` after each: the report then knows "
            "how much sessions differ."
        )
    if entry.training.best_epoch == entry.training.epochs:
        yield "the last epoch was the best one: raise `train.max_epochs`."


def _faster(entry: Entry) -> Iterator[str]:
    """How more speed may be had."""
    found = entry.throughput
    measured = [point for point in found.sweep if point.ratio and point.devices == 1]
    best = max(measured, key=_ratio, default=None)
    if best and best.ratio and best.ratio.low > 1:
        what = ", ".join(f"{name} {value}" for name, value in best.changes.items())
        yield (
            f"`{what}` is {numbers.interval(best.ratio)} times as fast: train with it too. Its "
            "accuracy may differ."
        )
    elif found.step_shares and found.step_shares.input.estimate > SHARE:
        yield "input takes much of a step: raise `data.num_workers`."
    elif not found.sweep and (used := _hardly_used(entry)):
        yield (
            f"{used:.1%} of its best rate is used; at so little a device often waits "
            "for its host: list larger values in `throughput.sweep.batch_size`."
        )
    elif not found.sweep:
        yield "to look for faster settings, list some in `throughput.sweep`."


def _hardly_used(entry: Entry) -> float | None:
    """The utilisation of a device other than the host, if it is little."""
    if entry.name in ("cpu", "xla") or not entry.utilisation:
        return None
    return entry.utilisation.estimate if entry.utilisation.estimate < LITTLE else None


def _ratio(point: SweepPoint) -> float:
    return point.ratio.estimate if point.ratio else 0.0

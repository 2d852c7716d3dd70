"""Suggestions for the reader's next steps, from the results of the comparison."""

from collections.abc import Iterator

from benchmark.common import numbers
from benchmark.report import wording
from benchmark.report.comparison_schema import Comparison, Entry
from benchmark.report.document import Prose
from benchmark.report.schema import Absent
from benchmark.report.sessions import LEAST

RUN = "`.venv/bin/python -m benchmark"
UNSETTLED = ("different", "no difference detected")
INPUT_SHARE = 0.1
"""Share of a step from which shortening the input is worth an attempt."""


def steps(comparison: Comparison) -> list[Prose]:
    """Return one line for each suggestion. Accelerators that share a suggestion share its line."""
    labels_by_line: dict[str, list[str]] = {}
    for entry in comparison.present:
        for line in _suggestions(entry):
            labels_by_line.setdefault(line, []).append(entry.label)
    lines = [f"{', '.join(labels)}: {line}" for line, labels in labels_by_line.items()]
    if absent := [e.label for e in comparison.accelerators if isinstance(e, Absent)]:
        lines.append(
            f"To add {' or '.join(absent)}: run `make repro` and {RUN} export` on a machine that "
            "has it, and commit the new file under `reports/machines/`."
        )
    if any(pair.kind in UNSETTLED for pair in comparison.local_pairs):
        lines.append(
            "Accuracies also differ by chance: add `seeds`, and the report shows how much they do."
        )
    if comparison.present:
        duel = f"{RUN} duel HEAD` shows whether training got slower."
        lines.append(f"After a change of the code: {duel}")
    return [Prose(line) for line in lines]


def _suggestions(entry: Entry) -> Iterator[str]:
    """Yield the suggestions for one accelerator, without its name."""
    throughput, training = entry.throughput, entry.training.result
    yield from _faster_settings(entry)
    if throughput.verdict.advice:
        yield f"the speed is unstable: {throughput.verdict.advice}."
    elif not throughput.interval_width.met:
        yield "for narrower intervals raise `throughput.budget_seconds`."
    if not entry.session_spread:
        yield (
            f"measure in {LEAST} sessions and run {RUN} export` after each: the report then knows "
            "how much sessions differ."
        )
    if training.best_epoch == training.epochs:
        yield "the last epoch was the best one: raise `train.max_epochs`."


def _faster_settings(entry: Entry) -> Iterator[str]:
    """Yield at most one suggestion for a faster training."""
    sweep = entry.throughput.sweep
    shares, curve = entry.throughput.trainer.step_shares, entry.throughput.curve
    ratios = [(point.ratio, point) for point in sweep if point.ratio and point.devices == 1]
    ratio, best = max(ratios, key=lambda r: r[0].estimate, default=(None, None))
    if ratio and best and ratio.low > 1:
        yield (
            f"`{wording.changes(best)}` is {numbers.interval(ratio)} times as fast: train with it "
            "too. Its accuracy may differ."
        )
    elif curve and curve.best and curve.best.ratio.low > 1:
        yield (
            f"`data.batch_size: {curve.best.batch_size}` is {numbers.interval(curve.best.ratio)} "
            "times as fast: train with it too. Its accuracy may differ."
        )
    elif shares and shares.input.estimate > INPUT_SHARE:
        yield "input takes much of a step: raise `data.num_workers`."
    elif sweep:
        return
    else:
        yield "to look for faster settings, list some in `throughput.sweep`."

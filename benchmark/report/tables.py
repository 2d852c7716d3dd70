"""Flat tables: DVC's metrics and plots, and a line for each accelerator and machine."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.errors.user_error import visible
from benchmark.report.comparison_schema import Comparison, Entry
from benchmark.report.schema import TrainingRecord

HEADER = (
    "machine", "accelerator", "device", "architecture", "images_per_second",
    "images_per_second_low", "images_per_second_high",
    "best_images_per_second", "best_batch_size", "not_compared", "test_accuracy",
    "test_accuracy_low", "test_accuracy_high", "training_seconds", "seconds_to_target",
    "cost_per_million_images", "currency",
)  # fmt: skip
LOSS_HEADER = ("run", "step", "train_loss")
ACCURACY_HEADER = ("run", "epoch", "val_accuracy")
PLACES = 4
"""Decimals of a number, enough for an accuracy (a share of 1) and a slow rate."""
FORMULAS = ("=", "+", "-", "@")
"""Characters with which a formula of a spreadsheet begins."""


def metrics(comparison: Comparison) -> dict[str, dict[str, float | str]]:
    """Return each accelerator's metrics on this machine: by accelerator, then by metric.

    Metrics that were not measured are left out.
    """
    return {entry.name: dict(_metrics(entry)) for entry in comparison.present}


def results(comparison: Comparison) -> list[list[Any]]:
    """Return a row of HEADER for each accelerator of each machine, the fastest first."""
    entries = [*comparison.present, *comparison.machines]
    fastest = sorted(entries, key=lambda e: e.throughput.images_per_second.estimate, reverse=True)
    return [_result(entry) for entry in fastest]


def losses(runs: Mapping[str, TrainingRecord]) -> list[list[Any]]:
    """Return a row of LOSS_HEADER for each step of each run."""
    return [[name, step, x] for name, run in runs.items() for step, x in enumerate(run.losses, 1)]


def accuracies(runs: Mapping[str, TrainingRecord]) -> list[list[Any]]:
    """Return a row of ACCURACY_HEADER for each epoch of each run."""
    return [
        [name, epoch, x] for name, run in runs.items() for epoch, x in enumerate(run.accuracies, 1)
    ]


def _metrics(entry: Entry) -> Iterator[tuple[str, float | str]]:
    """Yield name and value, the most important first: `dvc exp show` omits what does not fit."""
    training, rate = entry.training, entry.throughput.images_per_second
    yield "images_per_second", round(rate.estimate, PLACES)
    yield "test_accuracy", round(training.test_accuracy.estimate, PLACES)
    if training.to_target:
        yield "seconds_to_target", round(training.to_target.seconds, 1)
    if entry.cost:
        yield "cost_per_million_images", round(entry.cost.per_million_images.estimate, PLACES)
    yield "images_per_second_low", round(rate.low, PLACES)
    yield "images_per_second_high", round(rate.high, PLACES)
    peak = entry.throughput.efficiency.peak_memory
    memory = peak.host_bytes if peak.device_bytes is None else peak.device_bytes
    yield "peak_memory_gib", round(memory / 2**30, 2)
    if best := entry.throughput.best_images_per_second:
        yield "best_images_per_second", round(best.estimate, PLACES)
        yield "best_batch_size", entry.throughput.best_batch_size
    yield "architecture", entry.network


def _result(entry: Entry) -> list[Any]:
    training, cost = entry.training, entry.cost
    rate, accuracy = (
        [round(end, PLACES) for end in (interval.estimate, interval.low, interval.high)]
        for interval in (entry.throughput.images_per_second, training.test_accuracy)
    )
    best = entry.throughput.best_images_per_second
    return [
        entry.machine, entry.label, _text(entry.device), entry.network, *rate,
        round(best.estimate, PLACES) if best else "",
        entry.throughput.best_batch_size if best else "",
        entry.relative_speed.not_compared or "", *accuracy, training.seconds,
        training.to_target.seconds if training.to_target else "",
        round(cost.per_million_images.estimate, PLACES) if cost else "",
        _text(cost.price.currency) if cost else "",
    ]  # fmt: skip


def _text(words: str) -> str:
    """Escape text for a spreadsheet: put an apostrophe before what looks like a formula.

    A space at the end of a line would be changed by pre-commit's hooks.
    """
    text = visible(words).rstrip()
    return f"'{text}" if text.startswith(FORMULAS) else text

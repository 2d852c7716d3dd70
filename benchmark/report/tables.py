"""Flat tables: DVC's metrics and plots, and a line for each accelerator and machine."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.errors.user_error import visible
from benchmark.report.schema import Comparison, Entry, TrainingRecord

HEADER = (
    "machine", "accelerator", "device", "images_per_second", "images_per_second_low",
    "images_per_second_high", "not_compared", "test_accuracy", "test_accuracy_low",
    "test_accuracy_high", "training_seconds", "seconds_to_target", "cost_per_million_images",
    "currency",
)  # fmt: skip
LOSS_HEADER = ("run", "step", "train_loss")
ACCURACY_HEADER = ("run", "epoch", "val_accuracy")
PLACES = 4
"""Decimals of a figure: four digits of a share of 1, and of a slow rate."""

FORMULAS = ("=", "+", "-", "@")


def metrics(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Of each accelerator that is here, by its name in params.yaml; what is not known is left
    out."""
    return {entry.name: dict(_metrics(entry)) for entry in comparison.present}


def rows(comparison: Comparison) -> list[list[Any]]:
    """A line as HEADER says for each accelerator and machine, the fastest first."""
    entries = [*comparison.present, *comparison.machines]
    fastest = sorted(entries, key=_rate, reverse=True)
    return [_row(entry) for entry in fastest]


def losses(runs: Mapping[str, TrainingRecord]) -> list[list[Any]]:
    """A line as LOSS_HEADER says for each step of each run."""
    return [[name, step, x] for name, run in runs.items() for step, x in enumerate(run.losses, 1)]


def accuracies(runs: Mapping[str, TrainingRecord]) -> list[list[Any]]:
    """A line as ACCURACY_HEADER says for each epoch of each run."""
    return [
        [name, epoch, x] for name, run in runs.items() for epoch, x in enumerate(run.accuracies, 1)
    ]


def _rate(entry: Entry) -> float:
    return entry.rate.estimate


def _metrics(entry: Entry) -> Iterator[tuple[str, float]]:
    """The most important first: `dvc exp show` leaves out what finds no room."""
    training = entry.training
    yield "images_per_second", round(entry.rate.estimate, PLACES)
    yield "test_accuracy", round(training.test_accuracy.estimate, PLACES)
    if training.to_target:
        yield "seconds_to_target", round(training.to_target.seconds, 1)
    if entry.cost:
        yield "cost_per_million_images", round(entry.cost.per_million_images.estimate, PLACES)
    yield "images_per_second_low", round(entry.rate.low, PLACES)
    yield "images_per_second_high", round(entry.rate.high, PLACES)
    device = entry.peak_memory.device_bytes
    memory = entry.peak_memory.host_bytes if device is None else device
    yield "peak_memory_gib", round(memory / 2**30, 2)


def _row(entry: Entry) -> list[Any]:
    rate, found, cost = entry.rate, entry.training, entry.cost
    accuracy, target = found.test_accuracy, found.to_target
    figures = [round(each, PLACES) for each in (rate.estimate, rate.low, rate.high)]
    shares = [round(each, PLACES) for each in (accuracy.estimate, accuracy.low, accuracy.high)]
    return [
        entry.machine, entry.label, _text(entry.device), *figures,
        entry.throughput.not_compared or "", *shares, found.seconds,
        target.seconds if target else "",
        round(cost.per_million_images.estimate, PLACES) if cost else "",
        _text(cost.currency) if cost else "",
    ]  # fmt: skip


def _text(words: str) -> str:
    """A spreadsheet calculates what begins like a formula; behind an apostrophe it is text."""
    shown = visible(words)
    return f"'{shown}" if shown.startswith(FORMULAS) else shown

"""Whether a record can be compared. Its types say too little: what others wrote, or somebody has
edited, may hold a rate of 0, a training without a step, or a name that is a path."""

import re
from collections.abc import Iterator
from typing import Any

from benchmark.common.parameters import ACCELERATORS
from benchmark.common.statistics import PERCENTILES
from benchmark.report.schema import Record, TrainingRecord

MACHINE = re.compile(r"[0-9a-z]{1,64}")
"""An id, which becomes the name of a folder."""
LEAST, MOST = 1e-30, 1e30
"""Size of any number but 0: far beyond what is measured, and far within what can be computed."""
INTERVAL = {"estimate", "low", "high", "degrees"}


def check(record: Record) -> Record:
    """The same record.

    Raises:
        ValueError: it cannot be compared; with the first reason.
    """
    for fault in _of_record(record):
        raise ValueError(fault)
    for training in (record.training, *record.seeds.values()):
        check_training(training)
    return record


def check_training(training: TrainingRecord) -> TrainingRecord:
    """The same training.

    Raises:
        ValueError: it cannot be compared; with the first reason.
    """
    for fault in _of_training(training):
        raise ValueError(fault)
    return training


def _of_record(record: Record) -> Iterator[str]:
    yield from _of_names(record)
    yield from _of_numbers(record.model_dump(exclude={"training", "seeds"}))
    modes = record.throughput.modes
    if "trainer" not in modes:
        yield "throughput.modes: there is no trainer"
    for name, mode in modes.items():
        rate = mode.images_per_second
        if rate.low <= 0 or rate.degrees is None:
            yield f"throughput.modes.{name}: it is no rate"
    if any(rate <= 0 for each in record.sessions for rate in each.images_per_second.values()):
        yield "sessions: a rate is not above 0"
    yield from _of_charts(record)


def _of_charts(record: Record) -> Iterator[str]:
    """What has a place on a logarithmic axis."""
    steps = record.throughput.trainer.step_seconds
    if steps and (steps.keys() != {f"p{p}" for p in PERCENTILES} or min(steps.values()) <= 0):
        yield "throughput.trainer.step_seconds: they are no times"
    changes = [each.changes for each in record.throughput.sweep]
    sizes = [each.get(name, 1) for each in changes for name in ("batch_size", "devices")]
    if any(type(size) is not int or size < 1 for size in sizes):
        yield "throughput.sweep: a batch size or a number of devices is none"


def _of_names(record: Record) -> Iterator[str]:
    """They become paths, and are what a reader tells accelerators apart by."""
    if record.name not in ACCELERATORS:
        yield f"name: it is none of {', '.join(ACCELERATORS)}"
    if record.label not in (record.name, f"{record.name}:cpu"):
        yield f"training.result.accelerator: it is not {record.name}"
    if not MACHINE.fullmatch(record.machine):
        yield "environment.machine: it is no id of a machine"


def _of_training(training: TrainingRecord) -> Iterator[str]:
    yield from _of_numbers(training.model_dump(exclude={"losses"}))  # they may have diverged
    if not (training.losses and training.accuracies and training.result.digests.order_by_epoch):
        yield "training: it has no step or no epoch"
    if any(not 0 <= accuracy <= 1 for accuracy in training.accuracies):
        yield "training.accuracies: one is no share"
    seconds = training.timing.epoch_seconds
    if len(seconds) != len(training.accuracies) or min(seconds, default=1) <= 0:
        yield "training.timing.epoch_seconds: they are no times of the epochs"
    if min(training.timing.features_seconds, training.timing.total_seconds) < 0:
        yield "training.timing: a time is below 0"
    yield from _of_answers(training)


def _of_answers(training: TrainingRecord) -> Iterator[str]:
    answers, classes = training.correct, training.by_class
    if not re.fullmatch("[01]+", answers):
        yield "training.correct: it holds more than digits 0 and 1, or none"
    found, images = (sum(column) for column in zip(*classes, strict=True)) if classes else (0, 0)
    whole = all(0 <= right <= of and of for right, of in classes)
    if not whole or (found, images) != (answers.count("1"), len(answers)):
        yield "training.by_class: it is not what training.correct says"


def _of_numbers(dumped: dict[str, Any]) -> Iterator[str]:
    for place, value in _parts(dumped, ""):
        if isinstance(value, int | float) and value and not LEAST < abs(value) < MOST:
            yield f"{place}: it is no number that can be compared"
        if isinstance(value, dict) and value.keys() == INTERVAL and not _is_interval(**value):
            yield f"{place}: it is no interval"


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """All that it holds, to the end, with its place: the parts before the whole."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in pairs:
        where = f"{place}.{key}".removeprefix(".")
        if isinstance(part, dict | list | tuple):
            yield from _parts(part, where)
        yield where, part


def _is_interval(estimate: float, low: float, high: float, degrees: float | None) -> bool:
    return low <= estimate <= high and (degrees is None or degrees >= 1)

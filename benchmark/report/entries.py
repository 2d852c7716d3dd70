"""Turns a record into an entry of the comparison: its relative speed and its trainings."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from math import isfinite
from statistics import fmean, stdev

from benchmark.common.parameters import DEFAULT_ARCHITECTURE
from benchmark.common.statistics import Interval, mean_interval, proportion
from benchmark.report import parity
from benchmark.report.comparison_schema import (
    ControlEntry,
    Cost,
    Entry,
    EqualInputs,
    RelativeSpeed,
    SeedsEntry,
    ToTarget,
    TrainingEntry,
)
from benchmark.report.schema import Absent, Record, TrainingRecord
from benchmark.report.sessions import between_session_sd, widened_ratio

CONTROL = "random weights (control)"


def title(result: Record | Entry) -> str:
    """Return the name of an accelerator of another machine: `<label> on <machine>`.

    A network's name follows in brackets, unless it is ResNet50.
    """
    network = "" if result.network == DEFAULT_ARCHITECTURE else f" ({result.network})"
    return f"{result.label} on {result.machine}{network}"


def by_name(accelerators: Sequence[Entry | Absent], machines: Sequence[Entry]) -> dict[str, Entry]:
    """Return all entries with results, by their names in the comparison."""
    local = {entry.label: entry for entry in accelerators if isinstance(entry, Entry)}
    return local | {title(entry): entry for entry in machines}


def trainings(name: str, entry: Entry) -> dict[str, TrainingEntry]:
    """Return every training of an entry, by a name that begins with `name`."""
    runs = {name: entry.training}
    if entry.control:
        runs[f"{name}, {CONTROL}"] = entry.control
    if entry.seeds:
        seeds = zip(entry.seeds.other_seeds, entry.seeds.runs[1:], strict=True)
        runs |= {f"{name}, seed {seed}": run for seed, run in seeds}
    return runs


def build(
    record: Record, reference: Record, control: TrainingRecord | None, target: float
) -> Entry:
    """Return the entry of an accelerator that has results.

    Args:
        record: the accelerator's results.
        reference: the record that its speed is compared with; `record` itself has no ratio.
        control: its training from random weights, if one ran.
        target: validation accuracy to which time and images are counted.
    """
    images = record.train_images
    training = _training(record.training, images, target)
    size = {"batch_size": record.throughput.workload.batch_size}
    sweep = tuple(
        point.model_copy(update={"changes": size | point.changes})
        for point in record.throughput.sweep
    )
    return Entry(
        name=record.name,
        label=record.label,
        machine=record.machine,
        software={"python": record.environment.python, **record.environment.packages},
        throughput=record.throughput.model_copy(update={"sweep": sweep}),
        relative_speed=_relative_speed(record, reference),
        relative_best=_relative_best(record, reference),
        session_spread=between_session_sd(record.sessions, "trainer"),
        cost=_cost(record, training),
        training=training,
        control=_control(record, control, target) if control else None,
        seeds=_seeds(record, training, target),
    )


def _incomparable(one: Record, other: Record) -> str | None:
    """Return why the two speeds cannot be compared; None if they can.

    Parameters outside the workload do not change a speed, so they may differ.
    """
    if one.network != other.network:
        return f"network {one.network}, not {other.network}"
    differences = parity.input_differences(one.training, other.training)
    names = [name for name in differences if name != "parameters"]
    if names:
        return f"other {' and '.join(names)}"
    values, expected = dict(one.throughput.workload), dict(other.throughput.workload)
    reasons = [
        f"other {name}" if name in ("code", "weights") else f"{name} {value}, not {expected[name]}"
        for name, value in sorted(values.items())
        if value != expected[name]
    ]
    return " and ".join(reasons) or None


def elapsed(training: TrainingRecord) -> list[float]:
    """Return the seconds from the start to the end of each epoch, feature extraction included."""
    timing = training.timing
    return list(accumulate(timing.epoch_seconds, initial=timing.features_seconds))[1:]


def _relative_speed(record: Record, reference: Record) -> RelativeSpeed:
    if record is reference:
        return RelativeSpeed()
    if reason := _incomparable(record, reference):
        return RelativeSpeed(not_compared=reason)
    rates = record.throughput.images_per_second, reference.throughput.images_per_second
    return RelativeSpeed(ratio=_ratio(record, reference, *rates))


def _relative_best(record: Record, reference: Record) -> RelativeSpeed:
    if record is reference:
        return RelativeSpeed()
    if reason := _incomparable(record, reference):
        return RelativeSpeed(not_compared=reason)
    one, other = (r.throughput.best_images_per_second for r in (record, reference))
    if one is None or other is None:
        return RelativeSpeed(not_compared="no larger batch measured")
    return RelativeSpeed(ratio=_ratio(record, reference, one, other))


def _ratio(record: Record, reference: Record, one: Interval, other: Interval) -> Interval:
    """Return the rate `one` of `record` over `other` of `reference`, with both sessions' spread."""
    spreads = (between_session_sd(r.sessions, "trainer") for r in (record, reference))
    return widened_ratio((one, next(spreads)), (other, next(spreads)))


def _training(training: TrainingRecord, images: int, target: float) -> TrainingEntry:
    right, tested = training.correct.count("1"), len(training.correct)
    epochs = zip(elapsed(training), training.accuracies, strict=True)
    efforts = (
        ToTarget(epochs=epoch, seconds=seconds, images=epoch * images)
        for epoch, (seconds, accuracy) in enumerate(epochs, start=1)
        if accuracy >= target
    )
    first, last = (
        loss if isfinite(loss) else None for loss in (training.losses[0], training.losses[-1])
    )
    return TrainingEntry(
        result=training.result,
        replay=training.replay,
        test_accuracy=proportion(right, tested),
        test_images=tested,
        balanced_accuracy=fmean(right / images for right, images in training.by_class),
        commonest_class=max(images for _, images in training.by_class) / tested,
        first_loss=first,
        last_loss=last,
        seconds=training.timing.total_seconds,
        to_target=next(efforts, None),
    )


def _control(record: Record, control: TrainingRecord, target: float) -> ControlEntry:
    one, other = record.training.result, control.result
    return ControlEntry(
        **dict(_training(control, record.train_images, target)),
        equal_inputs=EqualInputs(
            sample_order=one.digests.order == other.digests.order,
            first_pixels=one.digests.pixels == other.digests.pixels,
            number_of_steps=one.steps == other.steps,
        ),
    )


def _cost(record: Record, training: TrainingEntry) -> Cost | None:
    if record.price is None:
        return None
    second = record.price.per_hour / 3600
    image, million = record.throughput.images_per_second.inverse, 1e6 * second
    return Cost(
        price=record.price,
        per_million_images=Interval(
            million * image.estimate, million * image.low, million * image.high, image.degrees
        ),
        training=second * training.seconds,
        to_target=second * training.to_target.seconds if training.to_target else None,
    )


def _seeds(record: Record, training: TrainingEntry, target: float) -> SeedsEntry | None:
    if not record.seeds:
        return None
    images = record.train_images
    runs = (training, *(_training(run, images, target) for run in record.seeds.values()))
    accuracies = [run.test_accuracy.estimate for run in runs]
    mean = mean_interval(accuracies)
    return SeedsEntry(
        other_seeds=tuple(record.seeds),
        runs=runs,
        mean=replace(mean, low=max(0.0, mean.low), high=min(1.0, mean.high)),
        std=stdev(accuracies),
        reached=sum(run.to_target is not None for run in runs),
    )

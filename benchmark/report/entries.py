"""A record as an entry of the comparison: its speed against the reference, and its trainings."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from math import isfinite
from statistics import fmean, stdev
from typing import Any

from benchmark.common.statistics import Interval, mean_interval, proportion
from benchmark.report import parity
from benchmark.report.schema import (
    Absent,
    Accuracy,
    Alike,
    ControlEntry,
    Cost,
    Entry,
    Record,
    SeedsEntry,
    Speed,
    ToTarget,
    TrainingEntry,
    TrainingRecord,
    TrainLoss,
)
from benchmark.report.sessions import spread
from benchmark.throughput.schema import SweepPoint, Throughput

CONTROL = "random weights (control)"
AS_MEASURED = {"date", "noise_floor", "verdict", "interval_width", "runtime", "ratios", "peers"}
"""Of a throughput: what the entry says alike."""


def title(label: str, machine: str) -> str:
    """What an accelerator of another machine is called."""
    return f"{label} on {machine}"


def trainings(name: str, entry: Entry) -> dict[str, TrainingEntry]:
    """Everything that was trained on an accelerator that is called `name`."""
    found = {name: entry.training}
    if entry.control:
        found[f"{name}, {CONTROL}"] = entry.control
    if entry.seeds:
        further = zip(entry.seeds.further, entry.seeds.runs[1:], strict=True)
        found |= {f"{name}, seed {seed}": run for seed, run in further}
    return found


def absent_or_entry(
    record: Record | Absent,
    reference: Record | None,
    controls: Mapping[str, TrainingRecord],
    target: float,
) -> Entry | Absent:
    """The entry of one of this machine's accelerators."""
    if isinstance(record, Absent):
        return record
    assert reference
    return entry(record, reference, controls.get(record.name), target)


def entry(
    record: Record, reference: Record, control: TrainingRecord | None, target: float
) -> Entry:
    """The entry of an accelerator that is there."""
    efficiency = record.throughput.efficiency
    training = TrainingEntry(**_training(record.training, record.train_images, target))
    return Entry(
        name=record.name,
        label=record.label,
        machine=record.machine,
        device=record.training.result.device,
        software=software(record),
        code=record.training.result.inputs.code,
        throughput=_speed(record, reference),
        utilisation=efficiency.utilisation,
        vendor_utilisation=efficiency.vendor_utilisation,
        peak_memory=efficiency.peak_memory,
        energy=efficiency.energy,
        cost=_cost(record, training),
        training=training,
        control=_controlled(record, control, target) if control else None,
        seeds=_seeds(record, target),
        digests=record.training.result.digests,
    )


def software(record: Record) -> dict[str, str]:
    """Versions of what computes."""
    return {"python": record.environment.python, **record.environment.packages}


def incomparable(one: Record, other: Record) -> str | None:
    """Why there is no ratio of the two's speeds; None where there is one. Of the parameters only
    those of the workload matter to a speed."""
    differences = parity.input_differences(one.training, other.training)
    named = [name for name in differences if name != "parameters"]
    if named:
        return f"other {' and '.join(named)}"
    ours, theirs = (dict(each.throughput.workload) for each in (one, other))
    said = [_other(name, ours[name], theirs[name]) for name in sorted(ours)]
    return " and ".join(filter(None, said)) or None


def _other(name: str, value: object, expected: object) -> str:
    """A part of a workload in words, if it is not the expected one; digests say nothing to a
    reader."""
    if value == expected:
        return ""
    return f"other {name}" if name in ("code", "weights") else f"{name} {value}, not {expected}"


def elapsed(training: TrainingRecord) -> list[float]:
    """Wall time from the start to the end of each epoch, that of features included, in seconds."""
    timing = training.timing
    return list(accumulate(timing.epoch_seconds, initial=timing.features_seconds))[1:]


def _speed(record: Record, reference: Record) -> Speed:
    found = record.throughput
    scatter = spread(record.sessions, "trainer")
    return Speed(
        images_per_second=record.rate,
        undisturbed_images_per_second=found.trainer.undisturbed_images_per_second,
        sessions=len(record.sessions),
        session_deviation=scatter.deviation if scatter else None,
        **_against(record, reference),
        **found.model_dump(include=AS_MEASURED),
        **found.trainer.model_dump(exclude={"undisturbed_images_per_second"}),
        decoding=found.efficiency.decoding,
        sweep=_sweep(found),
    )


def _against(record: Record, reference: Record) -> dict[str, Any]:
    """The rate's ratio to the reference's, or why there is none."""
    why = None if record is reference else incomparable(record, reference)
    if record is reference or why:
        return {"ratio_to_reference": None, "not_compared": why, "detectable": None}
    ratio = record.rate.over(reference.rate)
    known = [spread(each.sessions, "trainer") for each in (record, reference)]
    scatter = [each for each in known if each]
    if len(scatter) == len(known):
        ratio = max(scatter, key=lambda each: each.deviation).widen(ratio)
    return {"ratio_to_reference": ratio, "not_compared": None, "detectable": 1 not in ratio}


def _sweep(found: Throughput) -> tuple[SweepPoint, ...]:
    """Its points, each with its batch size."""
    size = {"batch_size": found.workload.batch_size}
    return tuple(
        point.model_copy(update={"changes": {**size, **point.changes}}) for point in found.sweep
    )


def _training(training: TrainingRecord, images: int, target: float) -> dict[str, Any]:
    result = training.result
    return {
        "test_accuracy": _accuracy(training.correct),
        "balanced_accuracy": fmean(right / images for right, images in training.by_class),
        "commonest_class": max(images for _, images in training.by_class) / len(training.correct),
        "test_top5": result.test.top5,
        "val_accuracy": result.val.accuracy,
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "steps": result.steps,
        "train_loss": TrainLoss(
            first=_finite(training.losses[0]), last=_finite(training.losses[-1])
        ),
        "seconds": training.timing.total_seconds,
        "to_target": _to_target(training, images, target),
        "replay": training.replay,
    }


def _accuracy(correct: str) -> Accuracy:
    right, images = correct.count("1"), len(correct)
    share = proportion(right, images)
    return Accuracy(
        estimate=share.estimate, low=share.low, high=share.high, right=right, images=images
    )


def _finite(loss: float) -> float | None:
    """None in place of what JSON cannot hold."""
    return loss if isfinite(loss) else None


def _controlled(record: Record, control: TrainingRecord, target: float) -> ControlEntry:
    one, other = record.training.result, control.result
    alike = Alike(
        sample_order=one.digests.order == other.digests.order,
        first_pixels=one.digests.pixels == other.digests.pixels,
        number_of_steps=one.steps == other.steps,
    )
    return ControlEntry(**_training(control, record.train_images, target), alike=alike)


def _to_target(training: TrainingRecord, images: int, target: float) -> ToTarget | None:
    """Up to the end of the first epoch that reaches `target`."""
    seconds = elapsed(training)
    for epoch, accuracy in enumerate(training.accuracies, start=1):
        if accuracy >= target:
            return ToTarget(epochs=epoch, seconds=seconds[epoch - 1], images=epoch * images)
    return None


def _cost(record: Record, training: TrainingEntry) -> Cost | None:
    """Where the machine has a price."""
    if record.price is None:
        return None
    second = record.price.per_hour / 3600
    image, million = record.rate.inverse, 1e6 * second
    return Cost(
        currency=record.price.currency,
        per_hour=record.price.per_hour,
        per_million_images=Interval(
            million * image.estimate, million * image.low, million * image.high, image.degrees
        ),
        training=second * training.seconds,
        to_target=second * training.to_target.seconds if training.to_target else None,
    )


def _seeds(record: Record, target: float) -> SeedsEntry | None:
    """All runs, the first among them; one that misses the target counts in `reached`."""
    if not record.seeds:
        return None
    trained = [record.training, *record.seeds.values()]
    runs = [TrainingEntry(**_training(each, record.train_images, target)) for each in trained]
    accuracies = [run.test_accuracy.estimate for run in runs]
    return SeedsEntry(
        further=tuple(record.seeds),
        runs=tuple(runs),
        mean=_within_0_and_1(mean_interval(accuracies)),
        std=stdev(accuracies),
        reached=sum(run.to_target is not None for run in runs),
    )


def _within_0_and_1(share: Interval) -> Interval:
    """No accuracy is beyond, though Student's interval may be."""
    return replace(share, low=max(0.0, share.low), high=min(1.0, share.high))

"""A training beside its control, which started from random weights."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from benchmark.markdown import duration, table
from benchmark.results import Results, read_result


@dataclass(frozen=True)
class Course:
    """How a training went, on one accelerator."""

    label: str
    training: dict[str, Any]
    seconds: list[float]
    """Wall time from the start to the end of each epoch, features included."""
    accuracies: list[float]
    """On validation, after each epoch."""

    @property
    def available(self) -> bool:
        """Whether the accelerator was there."""
        return bool(self.training["status"] == "ok")

    def seconds_to(self, accuracy: float) -> float | None:
        """Wall time to the end of the first epoch that reaches `accuracy`; None if none does."""
        reached = (s for s, a in zip(self.seconds, self.accuracies, strict=True) if a >= accuracy)
        return next(reached, None)


def read_course(results: Results, start: str) -> Course:
    """A training's course from its results, labelled with its accelerator and its `start`; empty
    where the accelerator is absent.

    Raises:
        UserError: the stage has not run.
    """
    training, timing = read_result(results.training), read_result(results.timing)
    with results.epochs.open(newline="") as file:
        accuracies = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    before = timing.get("features_seconds", 0.0)
    seconds = list(accumulate(timing.get("epoch_seconds", []), initial=before))[1:]
    return Course(f"{training['accelerator']}, {start}", training, seconds, accuracies)


def section(pairs: Sequence[tuple[Course, Course]], target: float) -> list[str]:
    """Markdown blocks that compare each (training, control); none where nothing ran."""
    ran = [pair for pair in pairs if all(course.available for course in pair)]
    if not ran:
        return []
    header = ("Start", "Test accuracy", "Top-5", f"Time to {target:.0%} validation accuracy")
    rows = [_cells(course, target) for pair in ran for course in pair]
    return [
        "## What the weights bring",
        table(header, rows),
        "![Validation accuracy against training time](accuracy.svg)",
        "\n".join(_alike(*pair) for pair in ran),
        "A control starts from random weights and trains all layers, on augmented images.",
    ]


def _cells(course: Course, target: float) -> list[str]:
    seconds = course.seconds_to(target)
    test = course.training["test"]
    missed = f"not reached in {duration(course.seconds[-1])}"
    time = missed if seconds is None else duration(seconds)
    return [course.label, f"{test['accuracy']:.1%}", f"{test['top5']:.1%}", time]


def _alike(course: Course, control: Course) -> str:
    """The gain, and what the digests and counts say about how alike the two were."""
    one, other = course.training, control.training
    gain = one["test"]["accuracy"] - other["test"]["accuracy"]
    same = {
        "sample order": one["digests"]["order"] == other["digests"]["order"],
        "first pixels": one["digests"]["pixels"] == other["digests"]["pixels"],
        "number of steps": one["steps"] == other["steps"],
    }
    said = ", ".join(
        f"{name} {'equal' if equal else '**different**'}" for name, equal in same.items()
    )
    return f"- {course.label}: {gain * 100:+.1f} points against its control ({said})."


def curves(courses: Sequence[Course]) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds and accuracies of those that ran, by label."""
    return {c.label: (c.seconds, c.accuracies) for c in courses if c.available}

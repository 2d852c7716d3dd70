"""A record: all results of one accelerator of one machine.

The constraints refuse what cannot be compared. Another machine's file may have been edited: it may
contain a rate of 0, a training without a step, or a name that is a path.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from benchmark.common.parameters import ACCELERATORS, DEFAULT_ARCHITECTURE
from benchmark.common.results import ResultModel
from benchmark.common.statistics import PERCENTILES
from benchmark.machine.schema import Environment
from benchmark.throughput.schema import Throughput
from benchmark.training.schema import Replay, Timing, Training

RECORD_VERSION: Literal[6] = 6
SMALLEST, LARGEST = 1e-30, 1e30
"""Limits of the absolute value of a number other than 0: a ratio of others may overflow."""
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
MACHINE_ID = re.compile(r"[0-9a-z]{1,64}")
"""The name of a folder of exported records."""


def _check_numbers(value: Any, place: str) -> None:
    """Raise ValueError for the first number that is NaN or beyond SMALLEST and LARGEST.

    `value` may be nested; `place` is its path in the record, for the message.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_numbers(item, f"{place}.{key}".removeprefix("."))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            _check_numbers(item, f"{place}.{index}")
    elif isinstance(value, int | float) and value and not SMALLEST < abs(value) < LARGEST:
        raise ValueError(f"{place} is not a number that can be compared")


class TrainingRecord(ResultModel):
    """All results of one training."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    result: Training
    """The result as the stage wrote it."""
    timing: Timing
    """Wall times."""
    losses: Annotated[tuple[float, ...], Field(min_length=1)]
    """Training loss of each step. A diverged training has infinite or NaN losses."""
    accuracies: Annotated[tuple[Share, ...], Field(min_length=1)]
    """Validation accuracy after each epoch."""
    correct: Annotated[str, Field(pattern="^[01]+$")]
    """A digit for each test image, in the order of the files: 1 where the prediction is correct."""
    by_class: tuple[tuple[int, int], ...]
    """Correctly classified test images and all test images of each class, sorted by class name."""
    replay: Replay
    """Whether its first steps, repeated in a separate process, gave the same bits."""

    @model_validator(mode="after")
    def _can_be_compared(self) -> Self:
        _check_numbers(self.model_dump(exclude={"losses"}), "")
        if not self.result.digests.order_by_epoch:
            raise ValueError("result.digests.order_by_epoch is empty")
        seconds = self.timing.epoch_seconds
        if len(seconds) != len(self.accuracies) or min(seconds) <= 0:
            raise ValueError("timing.epoch_seconds is not one positive time for each epoch")
        if min(self.timing.features_seconds, self.timing.total_seconds) < 0:
            raise ValueError("timing: a time is below 0")
        totals = [sum(counts) for counts in zip(*self.by_class, strict=True)]
        valid = all(0 <= right <= images and images for right, images in self.by_class)
        if not valid or totals != [self.correct.count("1"), len(self.correct)]:
            raise ValueError("by_class contradicts correct")
        return self


class Session(ResultModel):
    """One measuring session: a run of the throughput stage."""

    code: str
    """Digest of the code that was measured."""
    date: str
    """Day of the measurement, UTC."""
    images_per_second: dict[str, Positive]
    """Estimated rate of each mode."""


class Price(ResultModel):
    """Price of a machine."""

    per_hour: float
    """Price of an hour."""
    currency: str
    """Name of the currency."""


class Record(ResultModel):
    """All results of one accelerator of one machine."""

    schema_version: Literal[6] = RECORD_VERSION
    """Increases when a key changes its meaning."""
    name: Annotated[str, Field(pattern=f"^({'|'.join(ACCELERATORS)})$")]
    """Name in params.yaml."""
    environment: Environment
    """Hardware and software."""
    training: TrainingRecord
    """The training with the run's own seed."""
    seeds: dict[int, TrainingRecord]
    """Trainings with other seeds."""
    throughput: Throughput
    """The measurement, without its processes."""
    train_images: int
    """Training images of its dataset."""
    sessions: tuple[Session, ...] = ()
    """Earlier sessions of this machine and this one. Only the code may differ in their workload."""
    price: Price | None = None
    """Price of the machine; null if params.yaml has none."""

    @model_validator(mode="after")
    def _can_be_compared(self) -> Self:
        _check_numbers(self.model_dump(exclude={"training", "seeds"}), "")
        if self.label not in (self.name, f"{self.name}:cpu"):
            raise ValueError(f"training.result.accelerator is not {self.name}")
        if not MACHINE_ID.fullmatch(self.machine):
            raise ValueError("environment.machine is not a machine's id")
        if "trainer" not in self.throughput.modes:
            raise ValueError("throughput.modes has no trainer")
        for name, mode in self.throughput.modes.items():
            if mode.images_per_second.low <= 0 or mode.images_per_second.degrees is None:
                raise ValueError(f"throughput.modes.{name} is not a rate")
        best = self.throughput.curve and self.throughput.curve.best
        if best and (
            min(best.images_per_second.low, best.ratio.low) <= 0
            or best.images_per_second.degrees is None
        ):
            raise ValueError("throughput.curve.best is not a rate")
        steps = self.throughput.trainer.step_seconds
        percentiles = {f"p{percent}" for percent in PERCENTILES}
        if steps and (steps.keys() != percentiles or min(steps.values()) <= 0):
            raise ValueError("throughput.trainer.step_seconds: a percentile is missing or not > 0")
        for point in self.throughput.sweep:
            sizes = (point.changes.get(name, 1) for name in ("batch_size", "devices"))
            if any(type(size) is not int or size < 1 for size in sizes):
                raise ValueError("throughput.sweep: a batch size or number of devices is below 1")
        return self

    @property
    def label(self) -> str:
        """The accelerator's name in reports, such as `xla:cpu`."""
        return self.training.result.accelerator

    @property
    def network(self) -> str:
        """The `model.architecture` that was trained."""
        return self.throughput.workload.network

    @property
    def key(self) -> str:
        """The accelerator's name in params.yaml, with the network's name unless it is ResNet50."""
        network = self.network.replace(":", "-")  # Windows has no files with a colon
        suffix = "" if network == DEFAULT_ARCHITECTURE else f"-{network}"
        return f"{self.name}{suffix}"

    @property
    def machine(self) -> str:
        """The machine's opaque id."""
        return self.environment.machine


class Absent(ResultModel):
    """An accelerator that this machine does not have."""

    name: str
    """Name in params.yaml."""
    label: str
    """Name in reports, such as `xla:cpu`."""
    status: Literal["unavailable"] = "unavailable"
    """Distinguishes this from an entry with results, whose status is `ok`."""
    reason: str
    """Why the accelerator cannot be used."""


RECORD = TypeAdapter(Record)

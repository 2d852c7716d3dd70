"""Paths and base model of the stages' results; stages share nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from benchmark.common.files import write_json
from benchmark.errors.user_error import UserError

REPORTS = Path("reports")
DATASET = REPORTS / "dataset.json"
WEIGHTS = REPORTS / "weights.json"
OWN, CONTROL = "own", "control"
"""Names of trainings: with the run's own seed, and the same from random weights. Trainings with
other seeds are named by their seeds."""

EPOCH_HEADER = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_top5")
STEP_HEADER = ("step", "epoch", "train_loss")
TENSOR_HEADER = ("tensor",)
"""A column for each step follows, numbered from 1."""
PREDICTION_HEADER = ("image", "label", "prediction", "probability")

T = TypeVar("T")


class ResultModel(BaseModel):
    """Base of all results: JSON that one stage writes and another reads; no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Unavailable(ResultModel):
    """Result of a stage whose accelerator is unavailable."""

    status: Literal["unavailable"] = "unavailable"
    """As opposed to `ok`."""
    accelerator: str
    """The accelerator as reports call it."""
    reason: str
    """Why it cannot be used."""


@dataclass(frozen=True)
class ResultPaths:
    """Paths of one accelerator's results."""

    accelerator: str

    @property
    def environment(self) -> Path:
        """Fingerprint of the machine."""
        return REPORTS / "environment" / f"{self.accelerator}.json"

    @property
    def throughput(self) -> Path:
        """Training images per second."""
        return REPORTS / "throughput" / f"{self.accelerator}.json"

    @property
    def own(self) -> "TrainingPaths":
        """Paths of the training with the run's own seed."""
        return self.training(OWN)

    @property
    def control(self) -> "TrainingPaths":
        """Paths of the same training from random weights."""
        return self.training(CONTROL)

    def training(self, name: str) -> "TrainingPaths":
        """Return the paths of the training `name`: OWN, CONTROL or another seed."""
        return TrainingPaths(self.accelerator, name)


@dataclass(frozen=True)
class TrainingPaths:
    """Paths of one training's results."""

    accelerator: str
    name: str

    @property
    def checkpoint_dir(self) -> str:
        """Name of its directory in .checkpoints/."""
        return f"{self.accelerator}.{self.name}"

    @property
    def kind(self) -> str:
        """Text that follows the accelerator's name in messages; empty for OWN."""
        return {OWN: "", CONTROL: " control"}.get(self.name, f" seed {self.name}")

    @property
    def result(self) -> Path:
        """Metrics and digests: the same bytes whenever it is repeated on the same machine."""
        return REPORTS / "train" / self.accelerator / f"{self.name}.json"

    @property
    def steps(self) -> Path:
        """Loss of every step."""
        return self.result.with_suffix(".steps.csv")

    @property
    def epochs(self) -> Path:
        """Metrics of every epoch."""
        return self.result.with_suffix(".epochs.csv")

    @property
    def predictions(self) -> Path:
        """Predictions for each test image with the best epoch's weights."""
        return self.result.with_suffix(".predictions.csv")

    @property
    def tensors(self) -> Path:
        """Digest of each tensor of the network after each of the first steps."""
        return self.result.with_suffix(".tensors.csv")

    @property
    def timing(self) -> Path:
        """Wall times, in a file of their own because they differ each time."""
        return REPORTS / "timing" / self.accelerator / f"{self.name}.json"

    @property
    def replay(self) -> Path:
        """Whether the first steps repeat bit for bit."""
        return REPORTS / "replay" / self.accelerator / f"{self.name}.json"

    @property
    def model(self) -> Path:
        """Directory with the best epoch's weights."""
        return Path("models") / self.accelerator / self.name


def write_result(path: Path, result: ResultModel) -> None:
    """Replace `path` by `result` as JSON, without values that are None."""
    write_json(path, result.model_dump(mode="json", exclude_none=True))


def read_result(path: Path, kind: TypeAdapter[T]) -> T:
    """Read a stage's result.

    Args:
        path: JSON file that the stage wrote.
        kind: model of the file.

    Raises:
        UserError: the stage has not run, or the file does not fit the model.
    """
    try:
        return kind.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{path} is not here.", "Run the stages before this one: make repro."
        ) from None
    except ValidationError as error:
        raise UserError(
            f"{path} is not what this version writes: {complaint(error)}.",
            "Write it again: make repro.",
        ) from None


def complaint(error: ValidationError) -> str:
    """Return the first fault of a file on one line."""
    detail = error.errors()[0]
    key = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    return " ".join(f"{key}: {message}".removeprefix(": ").split())

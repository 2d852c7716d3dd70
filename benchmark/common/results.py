"""Paths and base model of the stages' results. Stages exchange data only through these files."""

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
"""Names of two trainings: the one with `seed` of params.yaml, and its control, which starts from
random weights. A training with another seed is named by that seed."""

EPOCH_HEADER = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_top5")
STEP_HEADER = ("step", "epoch", "train_loss")
TENSOR_HEADER = ("tensor",)
"""First column of the table; one column per step follows, numbered from 1."""
PREDICTION_HEADER = ("image", "label", "prediction", "probability")

T = TypeVar("T")


class ResultModel(BaseModel):
    """Base of all results: JSON that one stage writes and others read. Unknown keys are errors."""

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
        """Path of the machine's fingerprint."""
        return REPORTS / "environment" / f"{self.accelerator}.json"

    @property
    def throughput(self) -> Path:
        """Path of the measured training speed."""
        return REPORTS / "throughput" / f"{self.accelerator}.json"

    @property
    def own(self) -> "TrainingPaths":
        """Paths of the training with `seed` of params.yaml."""
        return self.training(OWN)

    @property
    def control(self) -> "TrainingPaths":
        """Paths of the control, the training from random weights."""
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
        """Name of the training's directory in .checkpoints/."""
        return f"{self.accelerator}.{self.name}"

    @property
    def kind(self) -> str:
        """Text that messages append to the accelerator's name; empty for OWN."""
        return {OWN: "", CONTROL: " control"}.get(self.name, f" seed {self.name}")

    @property
    def result(self) -> Path:
        """Path of metrics and digests. A repeated training on one machine writes equal bytes."""
        return REPORTS / "train" / self.accelerator / f"{self.name}.json"

    @property
    def steps(self) -> Path:
        """Path of the table with the loss of every step."""
        return self.result.with_suffix(".steps.csv")

    @property
    def epochs(self) -> Path:
        """Path of the table with the metrics of every epoch."""
        return self.result.with_suffix(".epochs.csv")

    @property
    def predictions(self) -> Path:
        """Path of the table of predictions: one row per test image, best epoch's weights."""
        return self.result.with_suffix(".predictions.csv")

    @property
    def tensors(self) -> Path:
        """Path of the table with each tensor's digest after each of the first steps."""
        return self.result.with_suffix(".tensors.csv")

    @property
    def timing(self) -> Path:
        """Path of the wall times, which differ in each run and so have a separate file."""
        return REPORTS / "timing" / self.accelerator / f"{self.name}.json"

    @property
    def replay(self) -> Path:
        """Path of the replay's result: whether the first steps repeat bit for bit."""
        return REPORTS / "replay" / self.accelerator / f"{self.name}.json"

    @property
    def model(self) -> Path:
        """Path of the directory with the best epoch's weights."""
        return Path("models") / self.accelerator / self.name


def write_result(path: Path, result: ResultModel) -> None:
    """Replace the file `path` by `result` as JSON; leave out values that are None."""
    write_json(path, result.model_dump(mode="json", exclude_none=True))


def read_result(path: Path, kind: TypeAdapter[T]) -> T:
    """Read the JSON file `path`, a stage's result, and validate it by the model's type adapter.

    Raises:
        UserError: the file does not exist (the stage has not run), or does not fit the model.
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
    """Return a validation's first error on one line: the key, then the message."""
    detail = error.errors()[0]
    key = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    return " ".join(f"{key}: {message}".removeprefix(": ").split())

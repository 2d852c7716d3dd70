"""Where each stage leaves its results; the only thing that stages know of one another."""

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
"""Trainings on each accelerator: with the run's own seed, and the same from random weights. Others
are named by their seeds."""

EPOCH_HEADER = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_top5")
STEP_HEADER = ("step", "epoch", "train_loss")
TENSOR_HEADER = ("tensor",)
"""And the number of each step, from 1."""
PREDICTION_HEADER = ("image", "label", "prediction", "probability")

T = TypeVar("T")


class ResultModel(BaseModel):
    """Something that a stage writes as JSON and another reads; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Unavailable(ResultModel):
    """What every stage writes where its accelerator is not."""

    status: Literal["unavailable"] = "unavailable"
    """As opposed to `ok`."""
    accelerator: str
    """The accelerator as reports call it."""
    reason: str
    """Why it cannot be used."""


@dataclass(frozen=True)
class ResultPaths:
    """The files of one accelerator."""

    accelerator: str

    @property
    def environment(self) -> Path:
        """The machine's fingerprint."""
        return REPORTS / "environment" / f"{self.accelerator}.json"

    @property
    def throughput(self) -> Path:
        """Training images per second."""
        return REPORTS / "throughput" / f"{self.accelerator}.json"

    @property
    def own(self) -> "TrainingPaths":
        """Those of the training with the run's own seed."""
        return self.training(OWN)

    @property
    def control(self) -> "TrainingPaths":
        """Those of the same training from random weights."""
        return self.training(CONTROL)

    def training(self, name: str) -> "TrainingPaths":
        """Those of the training `name`: OWN, CONTROL or a further seed."""
        return TrainingPaths(self.accelerator, name)


@dataclass(frozen=True)
class TrainingPaths:
    """The files of one training."""

    accelerator: str
    name: str

    @property
    def checkpoint_dir(self) -> str:
        """Its directory's name while it trains."""
        return f"{self.accelerator}.{self.name}"

    @property
    def kind(self) -> str:
        """What lines about it add to the accelerator's name."""
        return {OWN: "", CONTROL: " control"}.get(self.name, f" seed {self.name}")

    @property
    def result(self) -> Path:
        """Metrics and digests: the same bytes whenever it is repeated on the same machine."""
        return REPORTS / "train" / self.accelerator / f"{self.name}.json"

    @property
    def steps(self) -> Path:
        """The loss of every step."""
        return self.result.with_suffix(".steps.csv")

    @property
    def epochs(self) -> Path:
        """The metrics of every epoch."""
        return self.result.with_suffix(".epochs.csv")

    @property
    def predictions(self) -> Path:
        """What the best epoch's weights take each test image for."""
        return self.result.with_suffix(".predictions.csv")

    @property
    def tensors(self) -> Path:
        """Digests of each of the network's tensors after each of the first steps."""
        return self.result.with_suffix(".tensors.csv")

    @property
    def timing(self) -> Path:
        """Wall times, kept apart because they differ each time."""
        return REPORTS / "timing" / self.accelerator / f"{self.name}.json"

    @property
    def replay(self) -> Path:
        """Whether the first steps could be repeated bit for bit."""
        return REPORTS / "replay" / self.accelerator / f"{self.name}.json"

    @property
    def model(self) -> Path:
        """A directory with the best epoch's weights."""
        return Path("models") / self.accelerator / self.name


def write_result(path: Path, result: ResultModel) -> None:
    """Replace `path` by `result` as JSON; what is None is left out."""
    write_json(path, result.model_dump(mode="json", exclude_none=True))


def read_result(path: Path, kind: TypeAdapter[T]) -> T:
    """What a stage wrote to `path`, a JSON file of the given kind.

    Raises:
        UserError: the stage has not run, or wrote something else.
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
            "Write it anew: make repro.",
        ) from None


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong with a file, on one line."""
    detail = error.errors()[0]
    place = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    return " ".join(f"{place}: {message}".removeprefix(": ").split())

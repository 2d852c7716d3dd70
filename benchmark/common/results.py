"""Where each stage leaves its results; the only thing that stages know of one another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.files import read_json

REPORTS = Path("reports")
DATASET = REPORTS / "dataset.json"
WEIGHTS = REPORTS / "weights.json"

EPOCH_HEADER = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_top5")
STEP_HEADER = ("step", "epoch", "train_loss")
PREDICTION_HEADER = ("image", "label", "prediction", "probability")


@dataclass(frozen=True)
class Results:
    """The files of one accelerator, or of one more training on it."""

    name: str

    @property
    def control(self) -> "Results":
        """Those of the same training from random weights."""
        return Results(f"{self.name}.control")

    def seed(self, number: int) -> "Results":
        """Those of the same training with another seed."""
        return Results(f"{self.name}.seed{number}")

    @property
    def environment(self) -> Path:
        """The machine's fingerprint."""
        return REPORTS / "environment" / f"{self.name}.json"

    @property
    def training(self) -> Path:
        """What training came to: the same bytes whenever it is repeated on the same machine."""
        return REPORTS / "train" / f"{self.name}.json"

    @property
    def steps(self) -> Path:
        """The loss of every step."""
        return REPORTS / "train" / f"{self.name}.steps.csv"

    @property
    def epochs(self) -> Path:
        """The metrics of every epoch."""
        return REPORTS / "train" / f"{self.name}.epochs.csv"

    @property
    def predictions(self) -> Path:
        """What the best epoch's weights take each test image for."""
        return REPORTS / "train" / f"{self.name}.predictions.csv"

    @property
    def replay(self) -> Path:
        """Whether the first steps could be repeated bit for bit."""
        return REPORTS / "replay" / f"{self.name}.json"

    @property
    def timing(self) -> Path:
        """Training's wall times, kept apart because they differ each time."""
        return REPORTS / "timing" / f"{self.name}.json"

    @property
    def model(self) -> Path:
        """A directory with the best epoch's weights."""
        return Path("models") / self.name

    @property
    def throughput(self) -> Path:
        """Training images per second."""
        return REPORTS / "throughput" / f"{self.name}.json"


def read_result(path: Path) -> dict[str, Any]:
    """What a stage wrote to `path` as JSON.

    Raises:
        UserError: it has not run.
    """
    try:
        return read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is not here.", "Run the stages before this one: dvc repro."
        ) from None

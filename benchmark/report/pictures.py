"""Small copies of test images with the network's predictions, for the page."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from benchmark.common.parameters import DataParameters
from benchmark.common.results import ResultPaths
from benchmark.data.decoding import ValueRange, decode
from benchmark.errors.user_error import UserError
from benchmark.report import record
from benchmark.report.record import Recall
from benchmark.report.schema import Record

IMAGES, PAIRS = 24, 4
"""Images on the contact sheet, and pairs of confused classes."""
SIDE = 112
"""Height and width of a copy, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A test image with its label and prediction."""

    source: str
    """A data URL."""
    label: str
    prediction: str
    probability: float

    @property
    def right(self) -> bool:
        """Whether the prediction is correct."""
        return self.label == self.prediction


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another, with a test image of each."""

    count: int
    images: int
    """Test images of the class that is mistaken."""
    mistaken: Picture
    """The first image that was mistaken."""
    other: Picture
    """The first image of the class that was predicted."""


@dataclass(frozen=True)
class Sheets:
    """Pictures and recalls of the test split, for the page."""

    label: str
    """Name of the accelerator that trained."""
    contact: list[Picture]
    """Images at equal distances through the test split."""
    confusions: list[Confusion]
    recalls: list[Recall]
    """Recalls of all classes, the lowest first."""


def sheets(data: DataParameters, trained: Record, scale: ValueRange | None) -> Sheets:
    """Read the predictions of `trained` and the test images, and return the page's pictures.

    Images of more than 8 bits are shown on the `scale` of their dataset.

    Raises:
        UserError: an image of the test split is missing or unreadable.
    """
    predictions = record.rows(ResultPaths(trained.name).own.predictions)
    root, count = Path(data.root) / "test", len(predictions)
    spread = [predictions[place * count // IMAGES] for place in range(min(IMAGES, count))]
    contact = [_picture(root, row, scale) for row in spread]
    recalls = sorted(record.recalls(predictions), key=lambda recall: recall[1] / recall[2])
    return Sheets(trained.label, contact, _confusions(root, predictions, scale), recalls)


def _confusions(
    root: Path, predictions: Sequence[dict[str, str]], scale: ValueRange | None
) -> list[Confusion]:
    """Return the PAIRS most frequent confusions; equally frequent ones are sorted by name."""
    images = Counter(row["label"] for row in predictions)
    wrong = [row for row in predictions if row["label"] != row["prediction"]]
    counts = Counter((row["label"], row["prediction"]) for row in wrong)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]
    return [
        Confusion(
            count=count,
            images=images[label],
            mistaken=_picture(root, _first(wrong, label, prediction), scale),
            other=_picture(root, _first(predictions, prediction), scale),
        )
        for (label, prediction), count in most
    ]


def _first(
    rows: Sequence[dict[str, str]], label: str, prediction: str | None = None
) -> dict[str, str]:
    """Return the first row of class `label`, with this prediction if one is given."""
    return next(
        row for row in rows if row["label"] == label and prediction in (None, row["prediction"])
    )


def _picture(root: Path, row: dict[str, str], scale: ValueRange | None) -> Picture:
    """Read the image of a row and return a small copy.

    Raises:
        UserError: the image is missing or unreadable.
    """
    path = root / row["image"]
    if not path.is_file():
        raise UserError(f"{path} is not here.", "Fetch the dataset: make repro.")
    copy = ImageOps.fit(decode(path, scale), (SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=80)
    url = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(url, row["label"], row["prediction"], float(row["probability"]))

"""Test images with what the network takes them for: small copies that a page can hold."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from benchmark.common.parameters import DataParameters
from benchmark.common.results import ResultPaths
from benchmark.data.folder import decode
from benchmark.errors.user_error import UserError
from benchmark.report import record
from benchmark.report.schema import Record

SHOWN, PAIRS = 24, 4
"""Images on the contact sheet, and pairs of classes that are mistaken for each other."""
SIDE = 112
"""Height and width of a copy, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A test image and what it was taken for."""

    source: str
    """A data URL."""
    label: str
    prediction: str
    probability: float

    @property
    def right(self) -> bool:
        """Whether its class was found."""
        return self.label == self.prediction


@dataclass(frozen=True)
class Confusion:
    """Images of one class that are taken for another, beside an image of that one."""

    label: str
    prediction: str
    count: int
    images: int
    """Of the class, in the test split."""
    mistaken: Picture
    other: Picture


@dataclass(frozen=True)
class Sheets:
    """What a page shows of the test split."""

    label: str
    """The accelerator that was trained on."""
    contact: list[Picture]
    confusions: list[Confusion]
    recalls: list[tuple[str, int, int]]
    """Every class, the one that fails most first: name, found, and images."""


def sheets(data: DataParameters, trained: Record) -> Sheets:
    """Of the training on an accelerator.

    Raises:
        UserError: an image of the test split is missing or unreadable.
    """
    rows = record.rows(ResultPaths(trained.name).own.predictions)
    root = Path(data.root) / "test"
    spread = [rows[place * len(rows) // SHOWN] for place in range(min(SHOWN, len(rows)))]
    contact = [_picture(root, row) for row in spread]
    recalls = sorted(record.recalls(rows), key=_share)
    return Sheets(trained.label, contact, _confusions(root, rows), recalls)


def _share(found: tuple[str, int, int]) -> float:
    _, right, images = found
    return right / images


def _confusions(root: Path, rows: Sequence[dict[str, str]]) -> list[Confusion]:
    """The pairs mistaken most often, then by name."""
    images = Counter(row["label"] for row in rows)
    wrong = [row for row in rows if row["label"] != row["prediction"]]
    counts = Counter((row["label"], row["prediction"]) for row in wrong)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]
    return [
        Confusion(
            label,
            prediction,
            count,
            images[label],
            _first(root, wrong, label, prediction),
            _first(root, rows, prediction),
        )
        for (label, prediction), count in most
    ]


def _first(
    root: Path, rows: Sequence[dict[str, str]], label: str, prediction: str | None = None
) -> Picture:
    """The first image of a class, taken for `prediction` if that is given."""
    return next(
        _picture(root, row)
        for row in rows
        if row["label"] == label and prediction in (None, row["prediction"])
    )


def _picture(root: Path, row: dict[str, str]) -> Picture:
    path = root / row["image"]
    if not path.is_file():
        raise UserError(f"{path} is not here.", "Fetch the dataset: make repro.")
    copy = ImageOps.fit(decode(path), (SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=80)
    url = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(url, row["label"], row["prediction"], float(row["probability"]))

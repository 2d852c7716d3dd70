"""Models of the files that the dataset stage writes."""

from typing import Any

from pydantic import TypeAdapter

from benchmark.common.results import ResultModel


class PinnedImages(ResultModel):
    """The dataset, as its .dvc file pins it."""

    md5: str
    """DVC's digest of the directory, as in its .dvc file."""
    nfiles: int
    """Files in the dataset."""
    size: int
    """Bytes in the dataset."""
    classes: int
    """Number of classes."""
    images: dict[str, int]
    """Images in each split."""
    value_range: tuple[int | float, int | float] | None = None
    """Smallest and largest value of all images of more than 8 bits; None without such images. It is
    the scale on which these images become 8 bits."""


class Weights(ResultModel):
    """The weights from which training starts."""

    weights: str
    """The value of `model.weights`."""
    sha256: str | None = None
    """sha256 of the file of weights; None for weights without a file."""
    card: dict[str, Any] | None = None
    """Card of the bundled source weights; None for other weights."""


DATASET_RESULT = TypeAdapter(PinnedImages)
WEIGHTS_RESULT = TypeAdapter(Weights)

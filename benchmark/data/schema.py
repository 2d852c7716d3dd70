"""What the dataset stage writes."""

from typing import Any

from pydantic import TypeAdapter

from benchmark.common.results import ResultModel


class Dataset(ResultModel):
    """The pinned images."""

    md5: str
    """Of the pin."""
    nfiles: int
    """Files in the dataset."""
    size: int
    """Bytes in the dataset."""
    classes: int
    """Number of classes."""
    images: dict[str, int]
    """Images in each split."""


class Weights(ResultModel):
    """The weights that training starts from."""

    weights: str
    """As `model.weights` names them."""
    sha256: str | None = None
    """Of their file, if they come from one."""
    card: dict[str, Any] | None = None
    """How the bundled source weights were made."""


DATASET_RESULT = TypeAdapter(Dataset)
WEIGHTS_RESULT = TypeAdapter(Weights)

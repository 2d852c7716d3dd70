"""Rows of a batch: cut a batch into smaller ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from lightning_conformance.digests import tensors


class NotRowsError(Exception):
    """A batch is not made of one row per sample. The text says what is in it."""


def split(batch: Any, samples: int) -> list[Any]:
    """Cut a batch of `samples` rows into two, or return a batch of one in a list.

    The second part is smaller: halves would leave an unweighted mean of batches as it is. It has
    one sample only if the batch has less than five, since steps may fail on one.

    Raises:
        NotRowsError: a part of the batch has no row for each sample.
    """
    if samples == 1:
        return [batch]
    middle = samples - max(2 if samples > 4 else 1, samples // 3)
    return [_part(batch, samples, slice(middle)), _part(batch, samples, slice(middle, None))]


def row_count(batch: Any) -> int:
    """Return the length of the batch's first tensor, or 0."""
    return next((len(tensor) for tensor in tensors(batch) if tensor.ndim), 0)


def _part(value: Any, samples: int, rows: slice) -> Any:
    if isinstance(value, (Tensor, np.ndarray)):
        if value.ndim == 0:
            return value
        if len(value) != samples:
            raise NotRowsError(f"a tensor of shape {tuple(value.shape)} for {samples} samples")
        return value[rows]
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    kind: Any = type(value)
    if isinstance(value, Mapping):
        return kind({key: _part(element, samples, rows) for key, element in value.items()})
    if isinstance(value, Sequence):
        if len(value) == samples and not tensors(value):
            return value[rows]
        if len(value) == samples and len({tuple(tensor.shape) for tensor in tensors(value)}) == 1:
            raise NotRowsError(f"a list of {samples} tensors for {samples} samples")
        parts = [_part(element, samples, rows) for element in value]
        return kind(*parts) if hasattr(value, "_fields") else kind(parts)
    raise NotRowsError(f"a {kind.__name__}")

"""Digests of samples and batches in any container."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

SCALARS = (str, bytes, int, float, complex, np.generic)
MAX_DEPTH = 12
"""Recursion limit. Deeper containers are circular references, or not part of a batch."""


def digest(value: Any) -> str | None:
    """Return the SHA-256 (hex) over all leaves of `value`, or None if it has no leaves."""
    contents = [_content(leaf) for leaf in leaves(value)]
    return hashlib.sha256(b"".join(contents)).hexdigest() if contents else None


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in nested containers, on the CPU, with arrays converted to tensors."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]


def leaves(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the tensors, strings and numbers in nested sequences, mappings and other objects.

    `value` is not changed. Mappings are read in the order of their sorted keys.
    """
    if isinstance(value, Tensor):
        yield value.detach().cpu()
    elif isinstance(value, SCALARS):
        yield value
    elif depth < MAX_DEPTH:
        for element in _elements(value):
            yield from leaves(element, depth + 1)


def split(value: Any, length: int) -> tuple[list[Tensor], list[Sequence[Any]]]:
    """Return the tensors of a batch of `length` samples, and its columns.

    A column is a sequence with one element for each sample, such as texts or a list of the samples.
    Tensors in a column belong to one sample each, and are not returned as tensors of the batch.
    """
    tensors: list[Tensor] = []
    columns: list[Sequence[Any]] = []
    _split(value, length, tensors, columns)
    return tensors, columns


def _split(
    value: Any, length: int, tensors: list[Tensor], columns: list[Sequence[Any]], depth: int = 0
) -> None:
    """Append the tensors and columns in `value` to the two lists."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
        value = value.tolist()
    if isinstance(value, Tensor):
        tensors.append(value.detach().cpu())
    elif isinstance(value, Sequence) and _is_column(value, length):
        columns.append(value)
    elif not isinstance(value, SCALARS) and depth < MAX_DEPTH:
        for element in _elements(value):
            _split(element, length, tensors, columns, depth + 1)


def _is_column(value: Sequence[Any], length: int) -> bool:
    """Return whether a sequence has one element for each of `length` samples.

    If it contains tensors, it may also be the parts of a batch, as (images, labels). Parts differ
    in type, or one of them has `length` rows; only an element that is a sample contains a scalar.
    """
    if len(value) != length or isinstance(value, SCALARS):
        return False
    inner = [tensor for tensor in tensors(value) if tensor.ndim]
    if not inner:
        return True
    kinds = {(type(part), getattr(part, "dtype", None), getattr(part, "ndim", 0)) for part in value}
    if len(kinds) > 1:
        return False
    sample = value[0]
    has_scalar = isinstance(sample, Mapping) and any(
        isinstance(part, SCALARS) for part in sample.values()
    )
    return has_scalar or all(len(tensor) != length for tensor in inner)


def _content(leaf: Any) -> bytes:
    """Return the type, shape and content of one leaf as bytes."""
    if not isinstance(leaf, Tensor):
        return f"{type(leaf).__name__} {leaf!r};".encode()
    dense = leaf if leaf.layout is torch.strided else leaf.to_dense()
    # contiguous() keeps the strides of a view of one element, and view(dtype) refuses these.
    packed = dense.clone(memory_format=torch.contiguous_format).resolve_conj().resolve_neg()
    return f"{leaf.dtype} {tuple(leaf.shape)};".encode() + (
        packed.view(-1).view(torch.uint8).numpy().tobytes()
    )


def _elements(value: Any) -> list[Any]:
    """Return the elements of a container, or the attributes of another object."""
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return value.tolist()
        with contextlib.suppress(TypeError):
            return [torch.from_numpy(np.ascontiguousarray(value))]
        return [f"{value.dtype} {value.tolist()}"]  # torch has no such dtype
    if isinstance(value, Mapping):
        return [value[key] for key in sorted(value, key=str)]
    if isinstance(value, Sequence):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, (type, ModuleType)):
        return []
    return [os.fspath(value)] if isinstance(value, os.PathLike) else _attributes(value)


def _attributes(value: Any) -> list[Any]:
    """Return the content of any other object (an image, PyTorch Geometric's Data) in a list."""
    if hasattr(value, "__array_interface__"):  # a Pillow image
        return [np.asarray(value)]
    if callable(getattr(value, "to_dict", None)):
        with contextlib.suppress(TypeError):  # it requires arguments
            return [value.to_dict()]
    if is_dataclass(value):
        return [{field.name: getattr(value, field.name) for field in fields(value)}]
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    attributes = {name: getattr(value, name, None) for name in slots if name != "__weakref__"}
    return [attributes | getattr(value, "__dict__", {})]

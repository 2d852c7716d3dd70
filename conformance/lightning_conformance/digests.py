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


def columns(value: Any, length: int, depth: int = 0) -> Iterator[Any]:
    """Yield the nested sequences of `length` elements without a tensor, such as a batch's texts."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
        value = value.tolist()
    if isinstance(value, (Tensor, *SCALARS)) or depth == MAX_DEPTH:
        return
    if isinstance(value, Sequence) and len(value) == length and not tensors(value):
        yield value
        return
    for element in _elements(value):
        yield from columns(element, length, depth + 1)


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

"""Digests of what a dataset or a loader gives, whatever holds it."""

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

PLAIN = (str, bytes, int, float, complex, np.generic)
DEPTH = 12
"""Of a nest: what lies deeper is a reference back, or nobody's batch."""


def digest(value: Any) -> str | None:
    """One for all that is found in `value`, or None where nothing is."""
    found = list(leaves(value))
    if not found:
        return None
    return hashlib.sha256(b"".join(content(leaf) for leaf in found)).hexdigest()


def tensors(value: Any) -> list[Tensor]:
    """Those in any nest, and arrays as such."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]


def leaves(value: Any, depth: int = 0) -> Iterator[Any]:
    """The tensors, texts and numbers in any nest of sequences, mappings and other objects.

    Nothing is written: a batch stays what it is. A mapping is read in the order of its keys.
    """
    if isinstance(value, Tensor):
        yield value.detach().cpu()
    elif isinstance(value, PLAIN):
        yield value
    elif depth < DEPTH:
        for part in _parts(value):
            yield from leaves(part, depth + 1)


def content(leaf: Any) -> bytes:
    """The bytes of one leaf, with its type and shape."""
    if not isinstance(leaf, Tensor):
        return f"{type(leaf).__name__} {leaf!r};".encode()
    dense = leaf if leaf.layout is torch.strided else leaf.to_dense()
    # contiguous() leaves a view of one element as it is, with strides that view(dtype) refuses.
    packed = dense.clone(memory_format=torch.contiguous_format).resolve_conj().resolve_neg()
    return f"{leaf.dtype} {tuple(leaf.shape)};".encode() + (
        packed.view(-1).view(torch.uint8).numpy().tobytes()
    )


def _parts(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.hasobject else [_tensor(value)]
    if isinstance(value, Mapping):
        return [value[key] for key in sorted(value, key=str)]
    if isinstance(value, Sequence):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, (type, ModuleType)):
        return []
    return [os.fspath(value)] if isinstance(value, os.PathLike) else _held(value)


def _tensor(array: "np.ndarray[Any, Any]") -> Any:
    try:
        return torch.from_numpy(np.ascontiguousarray(array))
    except TypeError:  # texts, or numbers that torch has no type for
        return f"{array.dtype} {array.tolist()}"


def _held(value: Any) -> list[Any]:
    """What an object of any other class holds, by name: PyTorch Geometric's Data, one's own."""
    if hasattr(value, "__array_interface__"):  # an image of Pillow's
        return [np.asarray(value)]
    if callable(getattr(value, "to_dict", None)):
        with contextlib.suppress(TypeError):  # it needs arguments
            return [value.to_dict()]
    if is_dataclass(value):
        return [{field.name: getattr(value, field.name) for field in fields(value)}]
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    named = {name: getattr(value, name, None) for name in slots if name != "__weakref__"}
    return [named | getattr(value, "__dict__", {})]

"""sha256 of content: what lets two machines prove that they used the same thing."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


def of_state(state: Mapping[str, Tensor]) -> str:
    """Of named tensors: their names, dtypes, shapes and bits, whatever their order or device."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(_tensor(state[name]))
    return digest.hexdigest()


def chain(previous: str, values: Iterable[int | Tensor]) -> str:
    """The digest of everything before, `previous`, and then `values`.

    A chain is one string at any point, so it goes through a checkpoint and continues.
    """
    digest = hashlib.sha256(previous.encode())
    for value in values:
        digest.update(_tensor(value) if isinstance(value, Tensor) else f"{value};".encode())
    return digest.hexdigest()


def of_text(*parts: str) -> str:
    """Of several texts, told apart."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def of_json(value: Any) -> str:
    """Of a value's canonical JSON."""
    return of_text(json.dumps(value, sort_keys=True))


def element_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor's elements, in their order, whatever its strides or device."""
    # contiguous() leaves a view of one element as it is, with strides that view(dtype) refuses.
    packed = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return packed.view(-1).view(torch.uint8).numpy().tobytes()


def _tensor(tensor: Tensor) -> bytes:
    return f"{tensor.dtype} {tuple(tensor.shape)}\n".encode() + element_bytes(tensor)

"""sha256 digests of tensors. Equal digests mean equal bits."""

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the digest of named tensors: names, dtypes, shapes and bits.

    The tensors are sorted by name, so their order in `state` does not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        _update(digest, state[name])
    return digest.hexdigest()


def chain(previous: str, values: Iterable[int | Tensor]) -> str:
    """Return the digest of a sequence that grows by `values`: numbers and tensors, in order.

    `previous` is the digest of the sequence so far, empty for a new one. A checkpoint can store it.
    """
    digest = hashlib.sha256(previous.encode())
    for value in values:
        if isinstance(value, Tensor):
            _update(digest, value)
        else:
            digest.update(f"{value};".encode())
    return digest.hexdigest()


def element_bytes(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor's elements in row-major order, from any device.

    The tensor is copied once: a digest reads the returned memory without another copy.
    """
    # contiguous() does not copy a view of one element, whose strides view(dtype) refuses.
    packed = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return packed.view(-1).view(torch.uint8).numpy().data


def _update(digest: "hashlib._Hash", tensor: Tensor) -> None:
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
    digest.update(element_bytes(tensor))

"""Find a network's backbone in the content of a file of weights, and load it.

The search covers every entry, at any depth, and every prefix of the tensors' names. A missing
tensor is an error, except batch norm's counters of batches, which older files lack.
docs/weights.md describes what is read.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.common import tensor_digests
from benchmark.errors.user_error import UserError
from benchmark.training.networks import head_name

COUNTER = "num_batches_tracked"
"""Batch norm's counter of batches. torchvision's networks have a fixed momentum, and ignore it."""
OLDER_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)
"""Names in torchvision's files of DenseNets and vision transformers, and what replaces them."""
REMEDY = "docs/weights.md says which files are read."


class Candidate(NamedTuple):
    """Tensors with one prefix in one entry of a file: they may be a backbone."""

    entry: str
    """Keys that lead to the tensors, joined by dots; empty for the top."""
    prefix: str
    """Text before the backbone's own names."""
    state: dict[str, Tensor]
    """Tensors whose names, without the prefix, are the backbone's, by that name."""
    unused: dict[str, str]
    """Module of each other tensor of the entry, by the tensor's complete name."""

    @property
    def place(self) -> str:
        """Entry and prefix in words for messages; empty for unprefixed names at the top."""
        parts = {"entry": self.entry, "prefix": self.prefix}
        return ", ".join(f"{name} {value!r}" for name, value in parts.items() if value)


def load(network: nn.Module, content: Any, source: str, architecture: str) -> str:
    """Load the weights in `content` into `network`, in place, except into its head.

    Args:
        network: float32 on the CPU.
        content: a file's content, as weights_file.py reads it.
        source: name of the file, for errors.
        architecture: name of the network, for errors.

    Returns:
        Words that say which weights were used; empty if the content is exactly the backbone.

    Raises:
        UserError: `content` has no backbone, different ones, or numbers that are not finite.
    """
    head, state = head_name(network), network.state_dict()
    modules = [name for name, _ in network.named_children() if name != head.split(".")[0]]
    expected = {name: value for name, value in state.items() if not name.startswith(f"{head}.")}
    candidates = list(_candidates(content, expected, head))
    chosen = _choose(candidates, modules, expected, source, architecture)
    for name, value in chosen.state.items():
        if not value.to(torch.float32).isfinite().all():
            raise UserError(
                f"{source}: {chosen.prefix}{name} has numbers that are not finite in 32 bits.",
                "Name weights of a training that did not diverge.",
            )
    counters = [n for n in expected if n.endswith(COUNTER) and n not in chosen.state]
    zeros = {name: torch.zeros_like(expected[name]) for name in counters}
    for name, value in (chosen.state | zeros).items():
        state[name].copy_(value)  # MNASNet's load_state_dict needs a version, which files lack
    left_out = ", ".join(sorted(set(chosen.unused.values())))
    words = [chosen.place, left_out and f"left out: {left_out}"]
    return "; ".join(filter(None, [*words, f"set to 0: {COUNTER}" if counters else ""]))


def _choose(
    candidates: list[Candidate],
    modules: list[str],
    expected: Mapping[str, Tensor],
    source: str,
    architecture: str,
) -> Candidate:
    """Return the candidate that is a backbone, or the first of several equal ones.

    Raises:
        UserError: none is a backbone, or several with different weights are.
    """
    faults = [_faults(candidate, modules, expected) for candidate in candidates]
    fitting = [pair[0] for pair in zip(candidates, faults, strict=True) if not pair[1]]
    if not fitting:
        raise _refusal(candidates, faults, source, architecture)
    if len(fitting) > 1 and len({tensor_digests.state_digest(one.state) for one in fitting}) > 1:
        places = ", and at ".join(candidate.place or "the top" for candidate in fitting)
        raise UserError(
            f"{source} contains different weights of {architecture} at {places}.",
            "Write those that you mean to a file of their own.",
        )
    return fitting[0]


def _refusal(
    candidates: list[Candidate], faults: list[list[str]], source: str, architecture: str
) -> UserError:
    """Return the error to raise, about the candidate with the most tensors of the backbone."""
    if not candidates:
        return UserError(f"{source}: no tensor of it has a name of {architecture}'s.", REMEDY)
    closest, reasons = max(
        zip(candidates, faults, strict=True), key=lambda pair: len(pair[0].state)
    )
    place = closest.place and f" (looked at {closest.place})"
    more = f", and {len(reasons) - 1} more such faults" if reasons[1:] else ""
    return UserError(
        f"{source} does not contain {architecture}'s weights{place}: {reasons[0]}{more}.", REMEDY
    )


def _candidates(
    content: Any, expected: Mapping[str, Tensor], head: str, entry: str = ""
) -> Iterator[Candidate]:
    """Yield the backbones that `content`, a file's content, may contain.

    A mapping of tensors gives one candidate for each prefix (such as "module.") under which it has
    a name of `expected`. Nested mappings are searched too; `entry` is the path of keys to them.
    """
    if not isinstance(content, Mapping):
        return
    tensors = {
        _newer_name(name): value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    starts = ((prefix, name) for name in tensors for prefix in _prefixes(name))
    for prefix in dict.fromkeys(start for start, name in starts if name[len(start) :] in expected):
        state = {n: tensors[prefix + n] for n in expected if prefix + n in tensors}
        used = {prefix + name for name in state}
        unused = {n: _module(n.removeprefix(prefix), head) for n in tensors if n not in used}
        yield Candidate(entry, prefix, state, unused)
    for name, value in content.items():
        yield from _candidates(value, expected, head, f"{entry}.{name}" if entry else str(name))


def _newer_name(name: str) -> str:
    """Return a tensor's name in today's torchvision."""
    for older, newer in OLDER_NAMES:
        name = older.sub(newer, name)
    return name


def _module(name: str, head: str) -> str:
    """Return the head's name for a tensor of the head, else the outermost module's name."""
    return head if name.startswith(f"{head}.") else name.split(".")[0]


def _prefixes(name: str) -> Iterator[str]:
    """Yield the empty prefix and each that ends with a dot: "", "a." and "a.b." for "a.b.c"."""
    yield from (name[:end] for end in range(len(name)) if end == 0 or name[end - 1] == ".")


def _faults(candidate: Candidate, modules: list[str], expected: Mapping[str, Tensor]) -> list[str]:
    """Return why the candidate is not the backbone, a few words for each tensor; empty if it is."""
    state, start = candidate.state, candidate.prefix
    missing = [n for n in expected if n not in state and not n.endswith(COUNTER)]
    mismatches = {name: _mismatch(value, expected[name]) for name, value in state.items()}
    unused = candidate.unused.items()
    return [
        *(f"{start}{name} is missing" for name in missing),
        *(f"{start}{name} {mismatch}" for name, mismatch in mismatches.items() if mismatch),
        *(f"{n} is unknown" for n, part in unused if part in modules and n.startswith(start)),
    ]


def _mismatch(value: Tensor, expected: Tensor) -> str:
    """Return why `value` cannot replace `expected`, in words; empty if it can.

    Any float dtype fits a float tensor, and any number fits a counter.
    """
    if value.is_meta or value.layout != torch.strided or value.is_quantized:
        return "contains no plain numbers"
    fits = value.is_floating_point() or not expected.is_floating_point()
    if value.shape == expected.shape and fits:
        return ""
    shapes = tuple(value.shape), tuple(expected.shape)
    return f"has shape {shapes[0]} and type {value.dtype}, not {shapes[1]} and {expected.dtype}"

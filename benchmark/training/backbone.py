"""ResNet50's backbone in the content of a file: at which entry its weights are, behind which
prefix, and beside what.

docs/weights.md says what is found. Whatever is missing is refused and not made up, but for batch
norm's counters of batches, which older files lack.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.models import ResNet

from benchmark.common import digests
from benchmark.errors.user_error import UserError

COUNTER = "num_batches_tracked"
"""Batch norm with a fixed momentum, as ResNet50's, does not use it."""
REMEDY = "docs/weights.md says which files are read."


class Candidate(NamedTuple):
    """Tensors of a file, some of which have names of the backbone's."""

    entry: str
    """Keys that lead to them, joined by dots; "" at the top."""
    prefix: str
    """Of the names, up to the backbone's own."""
    state: dict[str, Tensor]
    """Those of the backbone, by its own names."""
    others: dict[str, str]
    """Names of all the others, with the module that each belongs to."""

    @property
    def place(self) -> str:
        """Where it is, in words; "" for names of their own at the top."""
        parts = {"entry": self.entry, "prefix": self.prefix}
        return ", ".join(f"{name} {value!r}" for name, value in parts.items() if value)


def load(network: ResNet, content: Any, source: str) -> str:
    """Give `network`, all but its last module, the weights that `content` holds.

    Args:
        network: float32 on the CPU.
        content: as checkpoint.py reads it.
        source: what it was read from, for whoever reads an error.

    Returns:
        What was found and used, in words; "" if the content is the backbone and nothing else.

    Raises:
        UserError: it holds no such backbone or several, or numbers that are not finite.
    """
    *modules, _ = (name for name, _ in network.named_children())
    expected = {n: v for n, v in network.state_dict().items() if n.split(".")[0] in modules}
    found = _choose(list(_candidates(content, expected)), modules, expected, source)
    _require_finite(found, source)
    counters = (n for n in expected if n.endswith(COUNTER) and n not in found.state)
    zeros = {name: torch.zeros_like(expected[name]) for name in counters}
    network.load_state_dict(found.state | zeros, strict=False)
    return _words(found, bool(zeros))


def _require_finite(found: Candidate, source: str) -> None:
    for name, value in found.state.items():
        if not value.to(torch.float32).isfinite().all():
            raise UserError(
                f"{source}: {found.prefix}{name} holds numbers that are not finite in 32 bits.",
                "Name weights of a training that did not diverge.",
            )


def _words(found: Candidate, counted_anew: bool) -> str:
    left_out = ", ".join(sorted(set(found.others.values())))
    parts = [
        found.place,
        left_out and f"left out: {left_out}",
        f"set to 0: {COUNTER}" if counted_anew else "",
    ]
    return "; ".join(part for part in parts if part)


def _choose(
    candidates: list[Candidate], modules: list[str], expected: Mapping[str, Tensor], source: str
) -> Candidate:
    """The one that fits, or the first of several that are equal."""
    faults = [_faults(candidate, modules, expected) for candidate in candidates]
    fitting = [one for one, found in zip(candidates, faults, strict=True) if not found]
    if not fitting:
        raise _refusal(candidates, faults, source)
    if len(fitting) > 1 and len({digests.of_state(each.state) for each in fitting}) > 1:
        places = ", and at ".join(each.place or "the top" for each in fitting)
        raise UserError(
            f"{source} holds different weights of ResNet50 at {places}.",
            "Write those that you mean to a file of their own.",
        )
    return fitting[0]


def _refusal(candidates: list[Candidate], faults: list[list[str]], source: str) -> UserError:
    """What is wrong with the candidate that has most of the backbone."""
    if not candidates:
        return UserError(f"{source}: no tensor of it has a name of ResNet50's.", REMEDY)
    pairs = zip(candidates, faults, strict=True)
    closest, found = max(pairs, key=lambda pair: len(pair[0].state))
    place = closest.place and f" (looked at {closest.place})"
    more = f", and {len(found) - 1} more such faults" if found[1:] else ""
    return UserError(f"{source} does not hold ResNet50's weights{place}: {found[0]}{more}.", REMEDY)


def _candidates(
    content: Any, expected: Mapping[str, Tensor], entry: str = ""
) -> Iterator[Candidate]:
    """In `content` and in whatever mapping it holds: one for each prefix behind which there are
    names of the backbone's."""
    if not isinstance(content, Mapping):
        return
    tensors = {n: v for n, v in content.items() if isinstance(n, str) and isinstance(v, Tensor)}
    starts = ((prefix, name) for name in tensors for prefix in _prefixes(name))
    for prefix in dict.fromkeys(start for start, name in starts if name[len(start) :] in expected):
        state = {n: tensors[prefix + n] for n in expected if prefix + n in tensors}
        used = {prefix + name for name in state}
        others = {name: _module(name, prefix) for name in tensors if name not in used}
        yield Candidate(entry, prefix, state, others)
    for name, value in content.items():
        yield from _candidates(value, expected, f"{entry}.{name}" if entry else str(name))


def _prefixes(name: str) -> Iterator[str]:
    """Of "a.b.c": nothing, "a." and "a.b."."""
    yield from (name[:end] for end in range(len(name)) if end == 0 or name[end - 1] == ".")


def _module(name: str, prefix: str) -> str:
    """That a tensor belongs to, as far as it tells one beside the backbone from one within it."""
    return name.removeprefix(prefix).split(".")[0]


def _faults(candidate: Candidate, modules: list[str], expected: Mapping[str, Tensor]) -> list[str]:
    """Why it is not the backbone, a few words for each name."""
    state, start = candidate.state, candidate.prefix
    missing = [n for n in expected if n not in state and not n.endswith(COUNTER)]
    unlike = {name: _unlike(value, expected[name]) for name, value in state.items()}
    inside = [
        name
        for name, module in candidate.others.items()
        if module in modules and name.startswith(start)
    ]
    return [
        *(f"{start}{name} is missing" for name in missing),
        *(f"{start}{name} {how}" for name, how in unlike.items() if how),
        *(f"{name} is unknown" for name in inside),
    ]


def _unlike(value: Tensor, expected: Tensor) -> str:
    """How a tensor is none for the place of `expected`; "" if it is one. Any float will do, and
    for a counter any number."""
    if value.is_meta or value.layout != torch.strided or value.is_quantized:
        return "holds no numbers of its own"
    alike = value.is_floating_point() or not expected.is_floating_point()
    if value.shape == expected.shape and alike:
        return ""
    shapes = tuple(value.shape), tuple(expected.shape)
    return f"has shape {shapes[0]} and type {value.dtype}, not {shapes[1]} and {expected.dtype}"

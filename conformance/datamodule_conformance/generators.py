"""The global generators of this process: torch's, NumPy's and Python's."""

import contextlib
import functools
import hashlib
import pickle
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch


class States(NamedTuple):
    """One state of each."""

    torch: torch.Tensor
    numpy: Any
    random: Any


def states() -> States:
    """Where they are now."""
    numpy = np.random.get_state(legacy=False)
    return States(torch.get_rng_state(), numpy, random.getstate())


def restore(kept: States) -> None:
    """Put them back to where they were."""
    torch.set_rng_state(kept.torch)
    np.random.set_state(kept.numpy)
    random.setstate(kept.random)


def to_put_back(generator: Any) -> Callable[[], object] | None:
    """What puts any object's own generator back to where it is now; None where it is none."""
    if isinstance(generator, torch.Generator):
        return functools.partial(generator.set_state, generator.get_state())
    if isinstance(generator, np.random.RandomState):
        return functools.partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        return functools.partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return functools.partial(setattr, bits, "state", bits.state)
    return None


def draw() -> None:
    """One number from each."""
    torch.rand(1), np.random.rand(), random.random()


def digests() -> dict[str, str]:
    """A digest of the state of each, by name."""
    now = states()
    contents = {
        "torch": now.torch.numpy().tobytes(),
        "numpy": pickle.dumps(now.numpy),
        "random": pickle.dumps(now.random),
    }
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def moved(before: dict[str, str]) -> tuple[str, ...]:
    """The names of those that were used or seeded since `before`."""
    return tuple(name for name, state in digests().items() if state != before[name])


@contextlib.contextmanager
def seeded(text: str) -> Iterator[None]:
    """They start from `text`, and are put back afterwards."""
    before, seed = states(), zlib.crc32(text.encode())
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        restore(before)

"""The global random number generators (RNGs) of this process: torch's, NumPy's and Python's."""

import contextlib
import functools
import hashlib
import pickle
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

RngStates = dict[str, Any]
"""The state of each global generator, by name."""


def get_states() -> RngStates:
    """Return the current state of each global generator."""
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=False),
        "random": random.getstate(),
    }


def set_states(states: RngStates) -> None:
    """Set each global generator to the given state."""
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])
    random.setstate(states["random"])


def make_restorer(value: Any) -> Callable[[], object] | None:
    """Return a function that resets the generator `value` to its current state.

    None if `value` is not a generator of torch, NumPy or Python.
    """
    if isinstance(value, torch.Generator):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, np.random.RandomState):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return functools.partial(value.setstate, value.getstate())
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return functools.partial(setattr, bits, "state", bits.state)
    return None


def draw() -> None:
    """Draw one number from each global generator."""
    torch.rand(1), np.random.rand(), random.random()


def state_digests() -> dict[str, str]:
    """Return a digest of the state of each global generator, by name."""
    states = get_states()
    states["torch"] = states["torch"].numpy().tobytes()
    return {name: hashlib.sha256(pickle.dumps(state)).hexdigest() for name, state in states.items()}


def changed_names(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the names of the generators whose digests differ: they were used or seeded."""
    return [name for name, state in before.items() if state != after[name]]


def seed_all(text: str) -> None:
    """Seed the global generators from `text`."""
    number = zlib.crc32(text.encode())
    torch.default_generator.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


@contextlib.contextmanager
def seed_temporarily(text: str) -> Iterator[None]:
    """Seed the global generators from `text` for the block, and restore their states after it."""
    states = get_states()
    seed_all(text)
    try:
        yield
    finally:
        set_states(states)

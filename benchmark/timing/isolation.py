"""What other software changes in a process, kept from whoever else runs in it."""

import multiprocessing
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import getattr_static
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image

CLASSES: tuple[type, ...] = (Image.Image, torch.Tensor)
"""Of which fastai replaces attributes: each image's `size`, each tensor's `as_subclass`."""
OF_A_JOB = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
"""A launcher's variables: who reads them waits for the other processes of a job."""
Attributes = Mapping[tuple[type, str], Any]
"""Values by class and name."""
T = TypeVar("T")


class Settings(NamedTuple):
    """What torch may choose, in the whole process."""

    deterministic: bool
    cudnn_deterministic: bool
    cudnn_benchmark: bool

    @classmethod
    def current(cls) -> "Settings":
        """Those that hold now."""
        cudnn = torch.backends.cudnn
        return cls(
            torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
        )

    def use(self) -> None:
        """From now on."""
        torch.use_deterministic_algorithms(self.deterministic)
        torch.backends.cudnn.deterministic = self.cudnn_deterministic
        torch.backends.cudnn.benchmark = self.cudnn_benchmark


@contextmanager
def isolated() -> Iterator[None]:
    """What is loaded and set up within it may warn, draw random numbers and set variables and
    torch's settings: all that is undone. It finds no XLA, which it would choose where there is
    one, and no job."""
    settings, variables, xla = Settings.current(), dict(os.environ), sys.modules.get("torch_xla")
    numbers, method = (random.getstate(), np.random.get_state()), _start_method()
    sys.modules["torch_xla"] = None  # type: ignore[assignment]
    os.environ["USE_TORCH_XLA"] = "0"  # for what looks again later
    for name in OF_A_JOB:
        os.environ.pop(name, None)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        _restore_module("torch_xla", xla)
        _restore_variables(variables)
        random.setstate(numbers[0])
        np.random.set_state(numbers[1])
        multiprocessing.set_start_method(method, force=True)
        settings.use()


def replacements(load: Callable[[], T]) -> tuple[T, Attributes]:
    """What `load` returns, and the attributes of CLASSES that it has replaced, which are put back.
    One that it adds where there was none is nobody else's."""
    own = {owner: dict(vars(owner)) for owner in CLASSES}
    before = {(owner, n): getattr_static(owner, n) for owner in CLASSES for n in dir(owner)}
    loaded = load()
    now = {place: getattr_static(*place) for place in before}
    replaced = {place: value for place, value in now.items() if value is not before[place]}
    for owner, name in replaced:
        _restore_attribute(owner, name, own[owner])
    return loaded, replaced


@contextmanager
def replaced(attributes: Attributes) -> Iterator[None]:
    """The attributes have these values within it."""
    own = {owner: dict(vars(owner)) for owner, _ in attributes}
    for (owner, name), value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name in attributes:
            _restore_attribute(owner, name, own[owner])


def _start_method() -> str | None:
    """None where nobody has chosen one: to ask for the default would be to choose it."""
    return multiprocessing.get_start_method(allow_none=True)


def _restore_attribute(owner: type, name: str, own: Mapping[str, Any]) -> None:
    """As it was in the class's `own` attributes, or inherited as it was."""
    if name in own:
        setattr(owner, name, own[name])
    else:
        delattr(owner, name)


def _restore_module(name: str, module: Any) -> None:
    if module is None:
        del sys.modules[name]
    else:
        sys.modules[name] = module


def _restore_variables(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)

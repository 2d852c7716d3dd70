"""The DataModule under test: where it is, and how a new one is made."""

import copy
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import yaml
from pytorch_lightning import LightningDataModule

from datamodule_conformance.packages import package_of


class SourceError(ValueError):
    """There is no such DataModule, or it can't be made: what is wrong, and what to do about it."""


@dataclass(frozen=True)
class DataModuleSource:
    """A class or function, by "module:name", that makes the DataModule, and its arguments."""

    path: str
    arguments: tuple[tuple[str, Any], ...] = ()
    augmented: bool = True
    """Whether training is meant to show a sample differently in each epoch."""

    def __str__(self) -> str:
        return f"{self.path}({', '.join(f'{key}={value!r}' for key, value in self.arguments)})"

    def make(self, seed: int) -> LightningDataModule:
        """A new one; `seed` is an argument where it takes one and none was given.

        Raises:
            SourceError: there is no such thing, or it makes no LightningDataModule.
        """
        target, arguments = _find(self.path), copy.deepcopy(dict(self.arguments))
        if "seed" in inspect.signature(target).parameters:
            arguments.setdefault("seed", seed)
        try:
            made = target(**arguments)
        except (Exception, SystemExit) as error:
            raise SourceError(
                f"{self} raised {type(error).__name__}: {error}. "
                "Give its arguments: --datamodule-arg key=value, or check(..., key=value).",
            ) from error
        if package_of(type(made)):
            return made
        raise SourceError(
            f"{self.path} makes a {type(made).__name__}. "
            "Name a LightningDataModule, or a function that returns one.",
        )


def parse_arguments(texts: list[str]) -> tuple[tuple[str, Any], ...]:
    """`key=value` texts, the values as YAML: numbers, truth values and lists are what they look.

    Raises:
        SourceError: a text without "=".
    """
    for text in texts:
        if "=" not in text:
            raise SourceError(f"--datamodule-arg {text} has no value. Write it as key=value.")
    pairs = (text.split("=", 1) for text in texts)
    return tuple((key, yaml.safe_load(value)) for key, value in pairs)


def _find(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    remedy = "Write it as my.module:MyDataModule, and run where `import my.module` works."
    try:
        found = attrgetter(name)(importlib.import_module(module))
    # A module may raise anything; a script without a guard even ends the process.
    except (Exception, SystemExit) as error:
        seen = f"{type(error).__name__}: {error}"
        raise SourceError(f"--datamodule {path} was not found: {seen}. {remedy}") from error
    if callable(found):
        return found
    raise SourceError(f"--datamodule {path} is a {type(found).__name__}. {remedy}")

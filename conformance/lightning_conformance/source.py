"""Source of the DataModule under test: its class or function, and how to make a new object."""

import contextlib
import copy
import gc
import importlib
import inspect
import pickle
import sys
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from pytorch_lightning import LightningDataModule
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lightning_conformance.messages import describe_error

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
"""Lightning's two packages: the same code under two names, with unrelated classes."""
SEED = "seed"
"""Name of the argument that the kit sets, unless the user has set it."""
ARGUMENTS = "--datamodule-arg key=value, or check(..., key=value)"
USE_CLASS = "Pass its class and arguments: check(MyDataModule, key=value)."


_MADE: list[weakref.ref[LightningDataModule]] = []
"""The DataModules made since the last collection."""


class SourceError(ValueError):
    """The DataModule can't be imported or made; the text says why, with the remedy."""


@dataclass(frozen=True)
class DataModuleSource:
    """A class or function that makes the DataModule, and the arguments with which to call it."""

    path: str
    """The class or function, as "module:name"."""
    arguments: tuple[tuple[str, Any], ...] = ()
    augmented: bool = True
    """Whether training shows a sample differently in each epoch."""

    def __str__(self) -> str:
        return f"{self.path}({', '.join(f'{key}={value!r}' for key, value in self.arguments)})"

    @property
    def is_class(self) -> bool:
        """Whether `path` names a class, and not a function."""
        return isinstance(load(self.path), type)

    def all_arguments(self) -> dict[str, Any]:
        """Return the arguments by name, with the defaults of those that are not given."""
        parameters = inspect.signature(load(self.path)).parameters.values()
        return {p.name: p.default for p in parameters} | dict(self.arguments)

    def make(self, seed: int) -> LightningDataModule:
        """Return a new DataModule. `seed` is its argument "seed" if it has one that is not set.

        Raises:
            SourceError: `path` can't be imported, raises, or does not make a LightningDataModule.
        """
        _free_earlier_objects()
        target, arguments = load(self.path), copy.deepcopy(dict(self.arguments))
        if SEED in inspect.signature(target).parameters:
            arguments.setdefault(SEED, seed)
        try:
            data = target(**arguments)
        except (Exception, SystemExit) as error:
            seen, remedy = describe_error(error), _remedy(error)
            raise SourceError(f"{self} raised {seen}. {remedy}") from error
        if package_of(type(data)):
            _MADE.append(weakref.ref(data))
            return data
        raise SourceError(
            f"{self.path} makes a {type(data).__name__}. "
            "Name a LightningDataModule, or a function that returns one.",
        )


def _free_earlier_objects() -> None:
    """Free the DataModules made before, which reference cycles of their Trainers keep alive.

    Otherwise a store that a process can open only once, such as LMDB's, would still be open.
    """
    if any(made() is not None for made in _MADE):
        gc.collect()
    _MADE.clear()


def _remedy(error: BaseException) -> str:
    """Return the remedy for an error of the call that makes a DataModule."""
    calls = list(traceback.walk_tb(error.__traceback__))
    if isinstance(error, TypeError) and len(calls) == 1:  # the call itself was refused
        return f"Give its arguments: {ARGUMENTS}."
    if isinstance(error, OSError) or "not found" in str(error).lower():
        return (
            f"If data are missing, put them there, or name their folder: {ARGUMENTS}. A relative "
            f"path starts at {Path.cwd()}. __init__ can leave data to prepare_data and setup."
        )
    return (
        "Look for the cause: make it in Python with the same arguments and folder. "
        f"If it needs arguments: {ARGUMENTS}."
    )


def package_of(kind: type) -> ModuleType | None:
    """Return the imported package whose LightningDataModule `kind` derives from, or None."""
    for name in PACKAGES:
        package = sys.modules.get(name)
        if package is not None and issubclass(kind, package.LightningDataModule):
            return package
    return None


def parse_arguments(
    texts: list[str], option: str = "--datamodule-arg"
) -> tuple[tuple[str, Any], ...]:
    """Parse texts `key=value`, with the values as YAML 1.2, and return pairs (key, value).

    Raises:
        SourceError: a text is not of this form, a value is not YAML, or a key is given twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.isidentifier() or not value:
            raise SourceError(f"{option} {text} has no value. Write it as key=value.")
        if key in values:
            raise SourceError(f"{option} {key} is given twice. Leave one out.")
        try:
            values[key] = YAML(typ="safe", pure=True).load(value)
        except (YAMLError, ValueError) as error:
            problem = getattr(error, "problem", error)
            raise SourceError(
                f"{option} {text} is not YAML: {problem}. Quote a text: {key}='\"...\"'."
            ) from None
    return tuple(values.items())


def source_of(datamodule: Any, arguments: dict[str, Any]) -> DataModuleSource:
    """Return the source of the DataModule given to `check`: a class, a function or an object.

    Raises:
        SourceError: other processes could not make the DataModule.
    """
    is_object = package_of(type(datamodule)) is not None
    return DataModuleSource(*importable(datamodule, arguments, is_object, "a LightningDataModule"))


def importable(
    target: Any, arguments: dict[str, Any], is_object: bool, expected: str
) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Return the "module:name" and the arguments with which other processes make the same object.

    `target` is a class, a function, or an object (`is_object`) that saved its arguments. `expected`
    names what `check` takes.

    Raises:
        SourceError: `target` can't be imported, or an argument can't be pickled or was not saved.
    """
    if is_object:
        kind = type(target)
        if arguments:
            raise SourceError(f"{kind.__name__}(...) is already an object. {USE_CLASS}")
        target, arguments = kind, _saved_arguments(target)
    if not callable(target):
        raise SourceError(f"check takes {expected}, not a {type(target).__name__}. {USE_CLASS}")
    path = _import_path(target)
    try:
        pickle.dumps(arguments)
    except Exception as error:
        raise SourceError(
            f"An argument of {path} can't be pickled for another process: {error}. "
            "Pass an importable function that makes the object instead."
        ) from error
    return path, tuple(arguments.items())


def load(path: str, option: str = "--datamodule") -> Callable[..., Any]:
    """Import and return the class or function `path`, "module:name", which `option` names.

    Raises:
        SourceError: it can't be imported or called; the text says why.
    """
    module, _, name = path.partition(":")
    remedy = "Write it as my.module:MyClass, and run where `import my.module` works."
    try:
        target = attrgetter(name)(importlib.import_module(module))
    # A module may raise anything. A script without a `__main__` guard may exit.
    except (Exception, SystemExit) as error:
        seen = f"{type(error).__name__}: {error}"
        raise SourceError(f"{option} {path} can't be imported: {seen}. {remedy}") from error
    if callable(target):
        return target
    raise SourceError(f"{option} {path} is a {type(target).__name__}. {remedy}")


def _saved_arguments(data: Any) -> dict[str, Any]:
    """Return the arguments that save_hyperparameters() saved, without the seed."""
    kind, saved = type(data), dict(data.hparams_initial)
    parameters = inspect.signature(kind).parameters.values()
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    names = [p.name for p in parameters if p.kind not in variadic and p.name != SEED]
    if missing := [f'"{name}"' for name in names if name not in saved]:
        raise SourceError(
            f"{kind.__name__}(...) did not save its arguments {', '.join(missing)}. "
            f"{USE_CLASS} Or call self.save_hyperparameters() in its __init__."
        )
    saved.pop(SEED, None)
    takes_any_name = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    return saved if takes_any_name else {name: saved[name] for name in names}


def _import_path(target: Callable[..., Any]) -> str:
    """Return the "module:name" of `target`, or raise SourceError if others can't import it."""
    name = getattr(target, "__qualname__", repr(target))
    module = getattr(target, "__module__", None) or "__main__"
    imported = None
    if module != "__main__" and PathFinder.find_spec(module.partition(".")[0]):
        with contextlib.suppress(AttributeError, KeyError):
            imported = attrgetter(name)(sys.modules[module])
    if imported is not target:
        raise SourceError(
            f"{module}:{name} can't be imported by other processes. "
            "Define it in a module, outside any function."
        )
    return f"{module}:{name}"

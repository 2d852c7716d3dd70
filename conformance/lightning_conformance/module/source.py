"""A project: the source of a LightningModule, and that of the DataModule that it trains on."""

import copy
import inspect
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lightning_conformance.source import (
    PACKAGES,
    SEED,
    DataModuleSource,
    SourceError,
    importable,
    load,
)

WRONG_CLASS = "Name a LightningModule, or a function that returns one."


@dataclass(frozen=True)
class ModuleSource:
    """A class or function that makes the LightningModule, and the arguments of the call."""

    path: str
    """The class or function, as "module:name"."""
    arguments: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.path}({', '.join(f'{key}={value!r}' for key, value in self.arguments)})"

    def make(self, seed: int) -> Any:
        """Return a new LightningModule. `seed` is its argument "seed" if that is not set.

        Raises:
            SourceError: `path` can't be imported, raises, or does not make a LightningModule.
        """
        target, arguments = load(self.path, "--module"), copy.deepcopy(dict(self.arguments))
        if SEED in inspect.signature(target).parameters:
            arguments.setdefault(SEED, seed)
        try:
            module = target(**arguments)
        except (Exception, SystemExit) as error:
            seen = f"{type(error).__name__}: {error}"
            raise SourceError(
                f"{self} raised {seen}. Give its arguments: --module-arg key=value."
            ) from error
        if package_of_module(type(module)):
            return module
        raise SourceError(f"{self.path} makes a {type(module).__name__}. {WRONG_CLASS}")


@dataclass(frozen=True)
class Project:
    """What a fit needs: a LightningModule and a LightningDataModule."""

    module: ModuleSource
    data: DataModuleSource

    def __str__(self) -> str:
        return f"{self.module} with {self.data}"

    def make(self, seed: int) -> tuple[Any, Any]:
        """Return a new LightningModule and a new DataModule of one Lightning package.

        Raises:
            SourceError: one of them can't be made, or their packages differ.
        """
        data, module = self.data.make(seed), self.module.make(seed)
        package = package_of_module(type(module))
        assert package is not None
        if isinstance(data, package.LightningDataModule):
            return module, data
        raise SourceError(
            f"{self.module.path} derives from {package.__name__}, {self.data.path} does not. "
            "Import one Lightning package in both: its Trainer refuses the other's classes."
        )


def module_source_of(module: Any, arguments: dict[str, Any]) -> ModuleSource:
    """Return the source of the module given to `check`: a class, a function or an object.

    Raises:
        SourceError: other processes could not make the module.
    """
    is_object = package_of_module(type(module)) is not None
    return ModuleSource(*importable(module, arguments, is_object, "a LightningModule"))


def package_of_module(kind: type) -> ModuleType | None:
    """Return the imported package whose LightningModule `kind` derives from, or None."""
    for name in PACKAGES:
        package = sys.modules.get(name)
        if package is not None and issubclass(kind, package.LightningModule):
            return package
    return None

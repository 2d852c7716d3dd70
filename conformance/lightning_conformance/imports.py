"""Faster imports: without garbage collection, and with that part of torchmetrics that is needed.

Lightning imports torchmetrics, which imports all of its metrics, and for them torchvision, scipy
and, where it is installed, transformers. That takes seconds. Here the package is loaded when
something else asks for it: any other import of torchmetrics gets all of it.
"""

import contextlib
import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

PACKAGE = "torchmetrics"
LIGHTNING_NEEDS = {
    "Metric": f"{PACKAGE}.metric", "MetricCollection": f"{PACKAGE}.collections",
    "__version__": f"{PACKAGE}.__about__",
}  # fmt: skip
"""By name: the module of torchmetrics that defines it."""
MODULES = {f"{PACKAGE}.{name}" for name in ("__about__", "collections", "metric", "utilities")}
"""What these names need of torchmetrics."""


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Collect no garbage in the block, and never what is alive after it.

    Imports leave no garbage, but a collection visits all that they have made, also at the exit.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def load_torchmetrics_lazily() -> None:
    """Let the first import of torchmetrics in this process load only what Lightning needs."""
    if PACKAGE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _LazyPackage(ModuleType):
    """The package torchmetrics, before its own code has run."""

    def __getattr__(self, name: str) -> Any:
        """Return what Lightning needs; for any other name, load the package first."""
        if name in LIGHTNING_NEEDS:
            try:
                import_module(f"{PACKAGE}.utilities")  # first, since the modules need each other
                return getattr(import_module(LIGHTNING_NEEDS[name]), name)
            except ImportError:  # another version may need them in another order
                for module in [
                    module for module in sys.modules if module.startswith(f"{PACKAGE}.")
                ]:
                    del sys.modules[module]
        if name == "_logger":  # for torchmetrics.utilities
            return logging.getLogger(PACKAGE)
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)  # Python asks any module for these
        _load(self)
        return getattr(self, name)


class _Finder(MetaPathFinder):
    """Finds torchmetrics as a _LazyPackage, and loads the package before its other modules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = name.partition(".")
        if package != PACKAGE:
            return None
        if not module:
            spec = PathFinder.find_spec(name)
            if spec and spec.origin:
                spec.loader = _LazyLoader(name, spec.origin)
            return spec
        if f"{PACKAGE}.{module.partition('.')[0]}" in MODULES:
            return None
        _load(sys.modules[PACKAGE])
        # Python would run a module again that is in sys.modules now.
        return (
            spec_from_loader(name, _Loaded(sys.modules.pop(name))) if name in sys.modules else None
        )


class _LazyLoader(SourceFileLoader):
    """Makes the package a _LazyPackage instead of running its code."""

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _LazyPackage


class _Loaded(Loader):
    """Returns a module that was loaded with the package, and has run."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # Python has replaced it


def _load(package: ModuleType) -> None:
    """Run the code of the package, and forget that it was lazy."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    if isinstance(package, _LazyPackage):
        package.__class__ = ModuleType  # type: ignore[assignment]
        loader = package.__loader__
        assert isinstance(loader, _LazyLoader)
        SourceFileLoader.exec_module(loader, package)

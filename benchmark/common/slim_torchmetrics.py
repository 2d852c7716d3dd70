"""Load torchmetrics without the packages that only metrics other than accuracies need.

Lightning imports torchmetrics, which imports all of its metrics. Those of sound, images and text,
and the plots, load scipy, matplotlib, torchvision.ops and, where it is installed, transformers. In
each process that trains or loads images, that takes 3 s of processor time and 90 MiB. Only the
suite's own processes do this: a program that imports `benchmark` gets all of torchmetrics.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import PackageNotFoundError
from types import ModuleType
from typing import Any

NEEDED = frozenset({"numpy", "torch", "torch_xla", "torchmetrics"})
"""The packages that torchmetrics finds while it is loaded; it does without the others."""


class _Finder(MetaPathFinder):
    """Finds torchmetrics where Python does, and loads it with _Loader."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name) if name == "torchmetrics" else None
        if spec and spec.origin:
            spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    """Runs the module while lightning_utilities, which torchmetrics asks, finds only NEEDED."""

    def exec_module(self, module: ModuleType) -> None:
        imports: Any = import_module("lightning_utilities.core.imports")
        version, package_available = imports._version, imports.package_available

        def needed_version(name: str) -> str:
            if name not in NEEDED:
                raise PackageNotFoundError(name)
            return version(name)

        imports._version = needed_version
        imports.package_available = NEEDED.__contains__
        try:
            super().exec_module(module)
        finally:
            imports._version, imports.package_available = version, package_available


def install() -> None:
    """Have the first import of torchmetrics in this process load no package outside of NEEDED."""
    sys.meta_path.insert(0, _Finder())

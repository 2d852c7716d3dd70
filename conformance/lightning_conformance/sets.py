"""Sets in the code of a DataModule: their order depends on how a process hashes strings."""

import ast
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType

from lightning_conformance.messages import FRAMEWORK

HASHING = {"set", "frozenset", "hash"}
"""Names of functions whose result depends on PYTHONHASHSEED."""


def makes_sets(name: str) -> bool:
    """Return whether the module `name`, or one that it imports from, makes a set or calls hash.

    The package itself is read, and all that pip has not installed.
    """
    return any(_makes_sets(module) for module in _imported(name))


def _makes_sets(module: ModuleType) -> bool:
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):  # no source code
        return False
    return any(
        isinstance(node, (ast.Set, ast.SetComp))
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in HASHING
        )
        for node in ast.walk(tree)
    )


def _imported(name: str) -> Iterator[ModuleType]:
    """Yield the module `name` and all modules of the project from which it imports something."""
    package, names, seen = name.partition(".")[0], [name], set()
    while names:
        module = sys.modules.get(names.pop())
        if module is None or module.__name__ in seen or not _is_own(module, package):
            continue
        seen.add(module.__name__)
        yield module
        for value in list(vars(module).values()):
            names.append(
                value.__name__ if isinstance(value, ModuleType)
                else str(getattr(value, "__module__", ""))
            )  # fmt: skip


def _is_own(module: ModuleType, package: str) -> bool:
    """Return whether the module is of `package`, or neither a framework's nor installed by pip."""
    top = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None) or ""
    return top == package or (top not in FRAMEWORK and bool(file) and "site-packages" not in file)

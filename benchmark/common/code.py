"""Which code a stage runs, as a digest: what makes its results stale.

The digest is of syntax trees without comments, docstrings, messages and names of local variables.
None of these retrains anything or makes the results of another machine "of other code".
"""

import ast
import hashlib
import json
from functools import cache
from itertools import accumulate
from pathlib import Path

from benchmark.common.syntax import canonical, reduced

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmark", "provenance")
STAGES = {
    "train": "benchmark.pipeline.train",
    "control": "benchmark.pipeline.control",
    "replay": "benchmark.pipeline.replay",
    "throughput": "benchmark.pipeline.throughput",
    "report": "benchmark.pipeline.report",
}
"""The stages whose results depend on their code, and the module of each."""
EMPTY = canonical("", texts=True)
NO_NUMBERS = (
    "benchmark.common.code", "benchmark.common.progress", "benchmark.common.sockets",
    "benchmark.common.syntax", "benchmark.errors", "benchmark.machine.lock",
    "benchmark.training.loggers",
)  # fmt: skip
"""Modules and packages that no number of a stage passes through: errors in words, locks, logs."""


def imported_modules(name: str) -> list[str]:
    """The module `name` and every module of PACKAGES that it imports, sorted."""
    imported: set[str] = set()
    seen = waiting = {name}
    while waiting:
        imported |= waiting
        new = set().union(*(_named(_source(module)) for module in waiting)) - seen
        seen = seen | new
        waiting = {module for module in new if _path(module).is_file()}
    return sorted(imported)


def code_by_module(name: str, *, texts: bool = False) -> dict[str, list[str]]:
    """The modules that a result of the module `name` depends on, with what counts of each.

    Args:
        name: of a module.
        texts: whether messages count, for results that contain them.

    Returns:
        By module: its reduced syntax tree, and its template.
    """
    content = {
        module: [canonical(_source(module), texts=texts), _template(module)]
        for module in imported_modules(name)
        if texts or not any(f"{module}.".startswith(f"{other}.") for other in NO_NUMBERS)
    }
    return {module: parts for module, parts in content.items() if parts != [EMPTY, ""]}


def digest(name: str, *, texts: bool = False) -> str:
    """Return a sha256 of `code_by_module(name, texts=texts)`."""
    content = code_by_module(name, texts=texts)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def _named(source: str) -> frozenset[str]:
    """The names of PACKAGES that a source text imports, with the packages that contain them."""
    return frozenset(
        module
        for name in _imported(source)
        for module in accumulate(name.split("."), "{}.{}".format)
        if name.partition(".")[0] in PACKAGES
    )


def _imported(source: str) -> list[str]:
    """The names in the import statements of a source text: modules, and what they define."""
    names: list[str] = []
    for node in ast.walk(reduced(source, texts=True)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def _source(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")


def _path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _template(module: str) -> str:
    """The text of the template that has its module's name; empty if there is none."""
    path = _path(module).with_suffix(".html")
    return path.read_text(encoding="utf-8") if path.is_file() else ""

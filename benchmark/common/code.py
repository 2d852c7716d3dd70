"""Digest of the code that a stage runs. If it changes, the stage's results are stale.

It covers syntax trees without comments, docstrings, messages and names of local variables. So a
change of these retrains nothing, and two machines' results stay comparable.
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
"""Modules and packages that cannot change a number: messages of errors, locks, logs."""


def imported_modules(name: str) -> list[str]:
    """Return `name` and all modules of PACKAGES that it imports, also indirectly; sorted."""
    imported: set[str] = set()
    seen = waiting = {name}
    while waiting:
        imported |= waiting
        new = set().union(*(_named(_source(module)) for module in waiting)) - seen
        seen = seen | new
        waiting = {module for module in new if _path(module).is_file()}
    return sorted(imported)


def code_by_module(name: str, *, texts: bool = False) -> dict[str, list[str]]:
    """Return the code that the results of the module `name` depend on.

    It is the reduced syntax tree (JSON) and the template of each module, by dotted name. Modules
    without code are left out. Messages, and the modules of NO_NUMBERS, count only with `texts`.
    """
    content = {
        module: [canonical(_source(module), texts=texts), _template(module)]
        for module in imported_modules(name)
        if texts or not any(f"{module}.".startswith(f"{other}.") for other in NO_NUMBERS)
    }
    return {module: parts for module, parts in content.items() if parts != [EMPTY, ""]}


def digest(name: str, *, texts: bool = False) -> str:
    """Return the sha256 of `code_by_module(name, texts=texts)`."""
    content = code_by_module(name, texts=texts)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def _named(source: str) -> frozenset[str]:
    """Return the imported names that begin with one of PACKAGES, and the packages around them."""
    names: list[str] = []
    for node in ast.walk(reduced(source, texts=True)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return frozenset(
        module
        for name in names
        for module in accumulate(name.split("."), "{}.{}".format)
        if name.partition(".")[0] in PACKAGES
    )


def _source(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")


def _path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _template(module: str) -> str:
    """Return the text of the HTML template with the module's name; empty if it does not exist."""
    path = _path(module).with_suffix(".html")
    return path.read_text(encoding="utf-8") if path.is_file() else ""

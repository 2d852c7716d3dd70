"""Which code a stage runs, as a digest: what makes its results stale.

The digest is of syntax trees without comments and docstrings, so that neither retrains anything
nor makes the results of another machine "of other code".
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

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


def modules(name: str) -> list[str]:
    """The module `name` and every module of PACKAGES that it imports, sorted."""
    found: set[str] = set()
    named = waiting = {name}
    while waiting:
        found |= waiting
        new = set().union(*(_named(_source(module)) for module in waiting)) - named
        named = named | new
        waiting = {each for each in new if _path(each).is_file()}
    return sorted(found)


def digest(name: str) -> str:
    """sha256 of the syntax trees of `modules(name)` and of the templates beside them."""
    content = [[module, _canonical(_source(module)), _template(module)] for module in modules(name)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def _named(source: str) -> frozenset[str]:
    """What import statements of a source text execute, if it is a module: what they name and the
    packages around it, as far as these are of PACKAGES."""
    return frozenset(
        each
        for name in _imported(source)
        for each in accumulate(name.split("."), "{}.{}".format)
        if name.partition(".")[0] in PACKAGES
    )


def _imported(source: str) -> list[str]:
    """What the import statements of a source text name; modules and what is taken from them."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


@cache
def _canonical(source: str) -> str:
    """The syntax tree of a source text, as JSON; cached, for each DataModule asks for it."""
    return json.dumps(_structure(ast.parse(source)))


def _source(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")


def _path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _template(module: str) -> str:
    """A page's template bears its module's name."""
    path = _path(module).with_suffix(".html")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _structure(node: Any) -> Any:
    """A syntax tree as nested lists without positions and docstrings.

    Empty fields are left out: versions of Python differ in which of them there are.
    """
    if isinstance(node, list):
        return [_structure(item) for item in node if not _is_docstring(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, _structure(value)) for name, value in _fields(node))
    return [type(node).__name__, *(list(field) for field in fields if field[1] not in ("None", []))]


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """Python 3.12 ends an f-string's format with an empty text where it holds a value."""
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.JoinedStr):
            value = [part for part in value if getattr(part, "value", None) != ""]
        yield name, value


def _is_docstring(node: Any) -> bool:
    """Any statement that is nothing but a text, so those below attributes too."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )

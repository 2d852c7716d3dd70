"""Which of the package's own files a stage runs: what makes its results stale."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent


def sources(module: str) -> list[Path]:
    """The file of `module` and of every module of the package that it imports, sorted."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        found |= waiting
        waiting = {name for seen in waiting for name in _imports(seen)} - found
    return sorted(map(_path, found))


def _imports(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(_path(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "benchmark":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmark."):
            names.add(str(node.module).removeprefix("benchmark."))
    return names


def _path(module: str) -> Path:
    return PACKAGE / f"{module}.py"

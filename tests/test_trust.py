"""No file is executed because the code reads it."""

import ast
from collections.abc import Iterator

import pytest

from tests import REPOSITORY

SAFE = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
"""Calls that unpickle whatever a file holds unless they are told not to."""
UNSAFE = (
    "pickle", "marshal", "shelve", "dill", "joblib", "eval", "exec", "compile", "yaml.load",
    "yaml.full_load", "yaml.unsafe_load", "np.fromfile", "torch.jit.load", "load_from_checkpoint",
)  # fmt: skip
"""Modules and functions for which there is no safe way; methods of these names are others."""


def faults(source: str) -> Iterator[str]:
    """What in `source` may execute a file."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names) | ast.ImportFrom(names=names):
                named = [each.name for each in names] + [getattr(node, "module", None) or ""]
                yield from (name for name in named if name.split(".")[0] in UNSAFE)
            case ast.Call(function, _, options):
                called = ast.unparse(function).replace("numpy.", "np.")
                given = {(each.arg, ast.unparse(each.value)) for each in options}
                name, value = SAFE.get(called, ("", None))
                if called in UNSAFE or (name and (name, str(value)) not in given):
                    yield called


@pytest.mark.parametrize("room", ["benchmark", "provenance"])
def test_nothing_that_is_read_can_be_executed(room: str) -> None:
    paths = sorted((REPOSITORY / room).rglob("*.py"))
    assert paths
    found = {path.name: [*faults(path.read_text(encoding="utf-8"))] for path in paths}
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path)",
        "numpy.load(path, allow_pickle=True)", "import pickle", "from pickle import loads",
        "import torch, marshal", "exec(text)", "yaml.load(text, Loader=Loader)",
    ],
)  # fmt: skip
def test_what_could_be_executed_is_found(source: str) -> None:
    assert [*faults(source)]


def test_what_cannot_be_executed_passes() -> None:
    source = "torch.load(p, weights_only=True); np.load(p, allow_pickle=False); model.eval()"
    assert [*faults(source)] == []

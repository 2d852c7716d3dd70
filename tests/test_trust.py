"""Files that torch and NumPy read are data: nothing in them is executed.

Ruff refuses pickle, exec and the like (pyproject.toml). It does not look at these arguments.
"""

import ast
from collections.abc import Iterator

import pytest

from tests import REPOSITORY

REQUIRED = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}
"""The argument without which a call unpickles its file."""


def unsafe_calls(source: str) -> Iterator[str]:
    """Yield the calls in `source` that may execute a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = ast.unparse(node.func).replace("numpy.", "np.")
            arguments = [ast.unparse(keyword) for keyword in node.keywords]
            if function.endswith("load_from_checkpoint") or (
                function in REQUIRED and REQUIRED[function] not in arguments
            ):
                yield function


def test_files_are_read_as_data() -> None:
    paths = [
        path for room in ("benchmark", "provenance") for path in (REPOSITORY / room).rglob("*.py")
    ]
    sources = {path: path.read_text(encoding="utf-8") for path in paths}
    assert any("torch.load(" in source for source in sources.values())
    assert {path: calls for path, text in sources.items() if (calls := [*unsafe_calls(text)])} == {}


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path)",
        "numpy.load(path, allow_pickle=True)", "Module.load_from_checkpoint(path)",
    ],
)  # fmt: skip
def test_an_unsafe_call_is_found(source: str) -> None:
    assert [*unsafe_calls(source)]


def test_a_safe_call_passes() -> None:
    assert [*unsafe_calls("torch.load(p, weights_only=True); np.load(p, allow_pickle=False)")] == []

"""Which room may import which: data flows one way between rooms."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from benchmark.common import code
from tests import REPOSITORY

ROOMS = (
    "errors", "common", "machine", "distributed", "data", "audit", "training", "timing",
    "interleave", "throughput", "report", "compare", "pipeline",
)  # fmt: skip
"""Packages of `benchmark`, from the lowest to the highest: a room imports lower ones only."""
ALLOWED: dict[str, set[str]] = {
    **{room: set(ROOMS[:position]) for position, room in enumerate(ROOMS)},
    "conformance": set(),
    "provenance": {"errors", "common", "machine", "data", "training"},
}
"""The rooms that each room may import."""
PACKAGES = {"provenance": "provenance", "conformance": "conformance/lightning_conformance"}
"""Rooms that are packages of their own."""
LIGHT = (
    "report.record", "report.schema", "report.comparison", "report.parity", "report.markdown",
    "report.page", "compare.recorded",
)  # fmt: skip
"""Modules that must not load torch: a report or a comparison takes a second without it."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module with its room."""
    for room in ALLOWED:
        yield from ((room, path) for path in sorted(folder(room).glob("*.py")))


def folder(room: str) -> Path:
    """The folder of a room's modules."""
    return REPOSITORY / PACKAGES.get(room, f"benchmark/{room}")


def package(room: str) -> str:
    """The name by which a room is imported."""
    return folder(room).name if room in PACKAGES else f"benchmark.{room}"


def imports(path: Path) -> set[str]:
    """Names of the modules and packages that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def rooms(path: Path) -> set[str]:
    """The rooms that a file imports."""
    parts = [name.split(".") for name in imports(path)]
    inside = {p[1] for p in parts if p[0] == "benchmark" and len(p) > 1}
    room_of_package = {Path(place).name: room for room, place in PACKAGES.items()}
    return inside | {room_of_package[p[0]] for p in parts if p[0] in room_of_package}


def test_imports_go_one_way_between_rooms() -> None:
    for room, path in modules():
        wrong = rooms(path) - ALLOWED[room] - {room}
        assert not wrong, f"{path.name} of {room} imports {', '.join(sorted(wrong))}"


def test_the_table_names_every_room() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "benchmark").glob("*/__init__.py")}
    assert folders | PACKAGES.keys() == set(ALLOWED)
    assert {path.name for path in (REPOSITORY / "benchmark").glob("*.py")} == {
        "__init__.py", "__main__.py", "command_line.py"
    }  # fmt: skip


def test_modules_of_a_room_form_no_circle() -> None:
    """Imports within functions count too."""
    names = {path: f"{package(room)}.{path.stem}" for room, path in modules()}
    project = set(names.values())
    TopologicalSorter({name: imports(path) & project for path, name in names.items()}).prepare()


@pytest.mark.parametrize("name", LIGHT)
def test_reading_results_needs_no_torch(name: str) -> None:
    modules = code.imported_modules(f"benchmark.{name}")
    paths = [code.ROOT.joinpath(*module.split(".")) for module in modules]
    files = [path.with_suffix(".py") for path in paths if path.with_suffix(".py").is_file()]
    assert code.ROOT.joinpath("benchmark", *name.split(".")).with_suffix(".py") in files
    heavy = [path.name for path in files if {"torch", "pytorch_lightning"} & imports(path)]
    assert heavy == []


def test_tests_stand_in_the_same_rooms() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "tests").glob("*/test_*.py")}
    assert folders <= set(ALLOWED)

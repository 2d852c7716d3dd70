"""The table of mutants, without running any: a mistake that does not apply proves nothing."""

from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import Mutant, faults, load


def test_every_row_applies_and_names_its_tests() -> None:
    rows = load()
    assert faults(rows) == []
    assert 50 < len(rows) <= 100


def test_each_fault_of_a_row_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "REPOSITORY", tmp_path)
    (tmp_path / "sum.py").write_text("x = 1\ny = x + 1\n")
    (tmp_path / "test_sum.py").write_text("def test_x(): ...\n")
    sound = Mutant("sum.py", "m", "x + 1", "x - 1", ("test_sum.py", "test_sum.py::test_x"))
    broken = {
        "'z' occurs 0 times": {"old": "z"},
        "'x' occurs 2 times": {"old": "x"},
        "does not compile: invalid syntax": {"new": "= 1"},
        "changes nothing": {"new": "(x + 1)  # of x"},
        "names no test": {"tests": ()},
        "test_sum.py::test does not exist": {"tests": ("test_sum.py", "test_sum.py::test")},
        "test_mean.py does not exist": {"tests": ("test_mean.py",)},
    }
    for fault, changed in broken.items():
        assert faults([sound._replace(**changed)]) == [f"sum.py: m: {fault}"]
    assert faults([sound]) == []
    assert faults([sound, sound]) == ["sum.py: m: 2 rows of one name"]

"""The mutants themselves, without running any: a mistake that does not apply proves nothing."""

import pytest

from tests.conftest import REPOSITORY
from tests.mutants import MUTANTS, Mutant


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 50


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_applies_in_one_place_and_compiles(mutant: Mutant) -> None:
    source = (REPOSITORY / mutant.path).read_text("utf-8")
    assert source.count(mutant.old) == 1
    assert mutant.old != mutant.new
    compile(mutant.applied(source), mutant.path, "exec")


@pytest.mark.parametrize("test", sorted({test for mutant in MUTANTS for test in mutant.tests}))
def test_each_named_test_is_there(test: str) -> None:
    file, _, function = test.partition("::")
    assert f"def {function}" in (REPOSITORY / file).read_text("utf-8")

"""Mistakes that the tests must notice: the rows of mutants.toml, and what is wrong with them."""

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mutants.toml")


class Mutant(NamedTuple):
    """A mistake: in `file`, `new` replaces `old`."""

    file: str
    """Relative to the repository."""
    mistake: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Files or node ids, the cheapest first."""

    @property
    def name(self) -> str:
        """Its name in the list of results."""
        return f"{self.file}: {self.mistake}"

    def applied(self, source: str) -> str:
        """Return `source` with the mistake."""
        return source.replace(self.old, self.new)


def load() -> list[Mutant]:
    """Read the rows of the table."""
    modules = tomllib.loads(TABLE.read_text("utf-8"))["module"]
    return [_mutant(module, row) for module in modules for row in module["mutants"]]


def faults(mutants: Sequence[Mutant]) -> list[str]:
    """List what is wrong with rows, as text lines. A mistake that does not apply proves nothing."""
    names = Counter(mutant.name for mutant in mutants)
    repeated = [f"{name}: {count} rows of one name" for name, count in names.items() if count > 1]
    return repeated + [
        f"{mutant.name}: {fault}"
        for mutant in mutants
        for fault in (*_faults_of_text(mutant), *_faults_of_tests(mutant))
    ]


def _mutant(module: dict[str, Any], row: list[str]) -> Mutant:
    """Make a mutant of a row. Tests in the row replace those of the module."""
    mistake, old, new, *tests = row
    return Mutant(module["file"], mistake, old, new, tuple(tests or module.get("tests", ())))


def _faults_of_text(mutant: Mutant) -> Iterator[str]:
    path = REPOSITORY / mutant.file
    source = path.read_text("utf-8") if path.is_file() else ""
    if (count := source.count(mutant.old)) != 1:
        yield f"{mutant.old!r} occurs {count} times"
        return
    try:
        mistaken = ast.parse(mutant.applied(source), mutant.file)
        compile(mistaken, mutant.file, "exec")
    except SyntaxError as error:
        yield f"does not compile: {error.msg}"
    else:
        if ast.dump(mistaken) == ast.dump(ast.parse(source)):
            yield "changes nothing"


def _faults_of_tests(mutant: Mutant) -> Iterator[str]:
    if not mutant.tests:
        yield "names no test"
    for test in mutant.tests:
        file, _, function = test.partition("::")
        if function not in _functions(file):
            yield f"{test} does not exist"


@cache
def _functions(file: str) -> frozenset[str]:
    """The functions of a test file, and "" for all of them; none if the file does not exist."""
    path = REPOSITORY / file
    if not path.is_file():
        return frozenset()
    nodes = ast.parse(path.read_text("utf-8")).body
    return frozenset({"", *(node.name for node in nodes if isinstance(node, ast.FunctionDef))})

"""Edits that make results stale, in small packages instead of the repository."""

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.common import code
from benchmark.common.syntax import canonical
from tests import REPOSITORY

STAGE = '''
"""What the stage does."""

from dataclasses import dataclass

from benchmark.room import helper


@dataclass
class Options:
    """Its options."""

    width: int = 3
    """In pixels."""


def area(options: Options, *rest: int) -> int:
    """In square pixels."""
    # A square.
    return options.width * helper.twice(options.width)
'''
FILES = {
    "benchmark/__init__.py": "",
    "benchmark/room/__init__.py": "LEVEL = 1\n",
    "benchmark/room/stage.py": STAGE,
    "benchmark/room/helper.py": "def twice(x):\n    return 2 * x\n",
    "benchmark/room/late.py": "COUNT = 1\n",
    "benchmark/room/unrelated.py": "COUNT = 1\n",
}
NAME = "benchmark.room.stage"
FIXED = '''
"""Source with all syntax whose tree could depend on the version of Python."""

import os as system
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

VALUES = {"a": 1, "b": None, "c": (1.5, 2j, ..., b"x", True, "é")}


class Empty:
    """Nothing."""


class Made(Empty, metaclass=type):
    field: int
    other: "int" = 2


@staticmethod
async def work(a, /, b: int = 1, *c, d=[x for x in VALUES if x], **e) -> Callable[[int], str]:
    """Does nothing."""
    global RESULT
    async with system as one, system:
        yield lambda x: f"{x!r:>{b}}/{a + 1:.2f}" + f"{x} and {a:.2f}" + "two words"
    try:
        del one[1:2, ::3]
        size: int = sum(x for x in VALUES if (y := x) for z in y)
        print(f"{size} is printed")
    except* (OSError, ValueError) as error:
        raise error from None
    match b:
        case {"key": [1, *rest], **others} | Empty(x=2) if (n := 3) > 2 != 1:
            assert not rest, "text"
        case _:
            pass
    while -a ** 2 @ b // 3 << 1 & ~4 ^ 5 | 6:
        break
    else:
        a += b if c else d
'''


ROOMS = sorted(path.parent.name for path in REPOSITORY.glob("benchmark/*/__init__.py"))
TIMED = [stage for stage in code.STAGES if stage != "report"]
"""Stages whose results are numbers."""
NUMERIC = [
    "benchmark/common/statistics.py", "benchmark/data/cache.py", "benchmark/data/crops.py",
    "benchmark/data/folder.py",
    "benchmark/data/randomness.py", "benchmark/data/resampling.py", "benchmark/data/sampling.py",
    "benchmark/throughput/measurements.py", "benchmark/timing/timer.py",
    "benchmark/training/adam.py", "benchmark/training/batch_norm.py", "benchmark/training/fit.py",
    "benchmark/training/model.py",
]  # fmt: skip
"""Modules whose constants decide numbers."""
SEARCHES = {
    "startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition",
    "split", "replace", "compile", "search", "match", "fullmatch", "sub", "findall",
}  # fmt: skip
"""Functions that search for a text."""
SEARCHED = {
    "Value error, ", "model name", "[Cc]onnection (closed by peer|reset|refused)|Broken pipe",
    r"GLOBAL (\S+)", " Check the documentation", "WeightsUnpickler error:", ", 1 of ",
    r"(?!\s*-)(?=.*[^\W\d_]).* ",
    "names that look alike", "name that is not text", "symbolic link", "hidden or system file",
    "names that differ in spaces",
}  # fmt: skip
"""Texts with a space that are searched for. They explain an error, shorten a device's name, or name
a dataset's problem, which ends a stage or does not, and changes no image."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a directory with FILES instead of the repository."""
    for name, content in FILES.items():
        write(tmp_path / name, content)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def edited(root: Path, old: str, new: str) -> str:
    """Return the stage's digest after one edit of its source."""
    assert STAGE.count(old) == 1, f"{old!r} must be in the source once"
    write(root / "benchmark/room/stage.py", STAGE.replace(old, new))
    return code.digest(NAME)


def test_comments_do_not_change_the_digest_and_constants_do(root: Path) -> None:
    """tests/common/test_syntax.py has every kind of edit."""
    before = code.digest(NAME)
    assert edited(root, "# A square.", "# A rectangle.") == before
    assert edited(root, "width: int = 3", "width: int = 4") != before


def test_it_holds_what_the_stage_imports_and_the_packages_around(root: Path) -> None:
    assert code.imported_modules(NAME) == [
        "benchmark", "benchmark.room", "benchmark.room.helper", "benchmark.room.stage",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "from benchmark.room import late",
        "from benchmark.room.late import COUNT",
        "import benchmark.room.late",
        "import benchmark.room.late as other",
    ],
)
def test_a_module_that_is_imported_in_a_function_counts(root: Path, statement: str) -> None:
    edited(root, "# A square.", statement)
    assert "benchmark.room.late" in code.imported_modules(NAME)
    before = code.digest(NAME)
    write(root / "benchmark/room/late.py", "COUNT = 2\n")
    assert code.digest(NAME) != before


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("benchmark/room/helper.py", "def twice(x):\n    return x + x\n"),
        ("benchmark/room/__init__.py", "LEVEL = 2\n"),
        ("benchmark/__init__.py", "LEVEL = 0\n"),
    ],
)
def test_what_is_imported_counts(root: Path, path: str, content: str) -> None:
    before = code.digest(NAME)
    write(root / path, content)
    assert code.digest(NAME) != before


def test_imports_are_followed_to_the_end_and_in_circles(root: Path) -> None:
    write(root / "benchmark/room/helper.py", "from benchmark.room import late, stage\n")
    before = code.digest(NAME)
    write(root / "benchmark/room/late.py", "COUNT = 2\n")
    assert code.digest(NAME) != before


def test_a_template_beside_its_module_counts(root: Path) -> None:
    before = code.digest(NAME)
    write(root / "benchmark/room/stage.html", "<p>one</p>")
    with_template = code.digest(NAME)
    write(root / "benchmark/room/stage.html", "<p>two</p>")
    assert len({before, with_template, code.digest(NAME)}) == 3


def test_an_unrelated_module_does_not_count(root: Path) -> None:
    before = code.digest(NAME)
    write(root / "benchmark/room/unrelated.py", "COUNT = 2\n")
    write(root / "benchmark/room/page.html", "<p>of no module here</p>")
    write(root / "other/package.py", "COUNT = 2\n")
    assert code.digest(NAME) == before


def test_a_fixed_source_has_the_same_digest_in_every_version_of_python(root: Path) -> None:
    """The recorded digest was equal in Python 3.11, 3.12 and 3.13."""
    write(root / "benchmark/fixed.py", FIXED)
    assert code.digest("benchmark.fixed") == (
        "5aac21f3023fa18668de7dad8684205e3102817d273c9508a290a703942f4edd"
    )


def test_stages_have_code_digests_of_their_own() -> None:
    digests = {code.digest(module) for module in code.STAGES.values()}
    assert len(digests) == len(code.STAGES)


def test_the_report_depends_on_its_page() -> None:
    """The report's page is the only template of this repository."""
    template = Path(code.ROOT / "benchmark/report/page.html")
    assert template.is_file()
    assert "benchmark.report.page" in code.imported_modules(code.STAGES["report"])


def test_what_measuring_processes_run_counts() -> None:
    """Processes are started with `python -m` or by path, so import statements do not name them."""
    modules = code.imported_modules(code.STAGES["throughput"])
    assert "benchmark.throughput.measuring_process" in modules
    assert "benchmark.interleave.side_process" in modules


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a copy of this repository's code instead of the repository."""
    for package in code.PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=ignored)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def timed_digests() -> dict[str, str]:
    """Return the digest of each stage whose results are numbers."""
    return {stage: code.digest(code.STAGES[stage]) for stage in TIMED}


def timed_code() -> dict[str, list[str]]:
    """Return the code of all stages whose results are numbers, by module."""
    return {k: v for stage in TIMED for k, v in code.code_by_module(code.STAGES[stage]).items()}


class OtherMessages(ast.NodeTransformer):
    """Replaces what is raised or printed by a text."""

    edits = 0

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call) and node.exc.args:
            self.edits += 1
            node.exc.args = [ast.Constant("Another message.")]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.func) == "print" and "file=" not in ast.unparse(node):
            self.edits += 1
            node.args = [ast.Constant("Another message.")]
        return node


class OtherVariables(ast.NodeTransformer):
    """Renames variables that functions assign, unless something else has the same name."""

    edits = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        names = [child for child in ast.walk(node) if isinstance(child, ast.Name)]
        kept = {child.arg for child in ast.walk(node) if isinstance(child, ast.arg)}
        declared = (n for n in ast.walk(node) if isinstance(n, ast.Global | ast.Nonlocal))
        kept |= {name for statement in declared for name in statement.names}
        assigned = {n.id for n in names if isinstance(n.ctx, ast.Store)} - kept
        for name in names:
            if name.id in assigned:
                name.id = f"{name.id}_renamed"
        self.edits += len(assigned)
        return node


@pytest.mark.parametrize("kind", [OtherMessages, OtherVariables])
def test_messages_and_local_variables_retrain_nothing(
    copy: Path, kind: type[OtherMessages | OtherVariables]
) -> None:
    before = timed_code()
    for room in ROOMS:
        edit_all(copy / "benchmark" / room, kind())
    after = timed_code()
    assert [name for name in before if after.get(name) != before[name]] == []
    assert after.keys() == before.keys()


def edit_all(folder: Path, editor: OtherMessages | OtherVariables) -> None:
    """Edit each module of a room."""
    for path in sorted(folder.glob("*.py")):
        write(path, ast.unparse(editor.visit(ast.parse(path.read_text(encoding="utf-8")))))
    assert editor.edits, f"{folder.name} has nothing to edit"


def changed_constants(source: str) -> Iterator[str]:
    """Yield the source once per number in it, with that number changed; skip `raise`."""
    tree = ast.parse(source)
    raised = {c for n in ast.walk(tree) if isinstance(n, ast.Raise) for c in ast.walk(n)}
    for node in ast.walk(tree):
        is_number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        if is_number and node not in raised:
            node.value += 1
            yield ast.unparse(tree)
            node.value -= 1


@pytest.mark.parametrize("name", NUMERIC)
def test_a_changed_constant_retrains_all_that_import_it(copy: Path, name: str) -> None:
    path = copy / name
    module = name.removesuffix(".py").replace("/", ".")
    importing = {stage for stage in TIMED if module in code.imported_modules(code.STAGES[stage])}
    assert importing
    before, source = timed_digests(), path.read_text(encoding="utf-8")
    changed = list(changed_constants(source))
    assert [
        edit for edit in changed if canonical(edit, texts=False) == canonical(source, texts=False)
    ] == []
    write(path, changed[-1])
    after = timed_digests()
    assert {stage for stage in TIMED if after[stage] != before[stage]} == importing


def test_the_key_of_the_cache_covers_the_decoder() -> None:
    assert "benchmark.data.folder" in code.imported_modules("benchmark.data.cache")


def searched_texts(source: str) -> Iterator[str]:
    """Yield texts with a space that a source text searches for, or that are in a set."""
    for node in ast.walk(ast.parse(source)):
        searches = isinstance(node, ast.Call) and getattr(node.func, "attr", "") in SEARCHES
        for part in node.args if searches else node.elts if isinstance(node, ast.Set) else []:
            text = getattr(part, "value", None)
            if isinstance(text, str) and re.search("[A-Za-z].* | .*[A-Za-z]", text):
                yield text


def test_texts_with_a_space_that_are_searched_for_decide_no_number() -> None:
    """The digest ignores these texts. A text that decides a number must be in a comparison, or must
    not contain a space."""
    names = {name for stage in TIMED for name in code.imported_modules(code.STAGES[stage])}
    paths = [REPOSITORY.joinpath(*name.split(".")).with_suffix(".py") for name in names]
    sources = [path.read_text(encoding="utf-8") for path in paths if path.is_file()]
    assert {text for source in sources for text in searched_texts(source)} == SEARCHED


def test_code_that_no_number_passes_through_retrains_nothing(copy: Path) -> None:
    before = timed_digests()
    for name in code.NO_NUMBERS:
        path = copy.joinpath(*name.split("."))
        for module in path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
            module.write_text(f"{module.read_text()}\nADDED = 1\n")
    assert timed_digests() == before


def test_a_package_without_code_is_not_counted(root: Path) -> None:
    write(root / "benchmark/empty/__init__.py", '"""Words."""\n')
    write(root / "benchmark/empty/inner.py", "A = 1\n")
    write(root / "benchmark/stage.py", "from benchmark.empty import inner\n")
    assert "benchmark.empty" in code.imported_modules("benchmark.stage")
    assert [*code.code_by_module("benchmark.stage")] == ["benchmark.empty.inner", "benchmark.stage"]


def test_the_report_depends_on_its_texts(copy: Path) -> None:
    module = code.STAGES["report"]
    before = code.digest(module, texts=True)
    edit_all(copy / "benchmark/report", OtherMessages())
    assert code.digest(module, texts=True) != before

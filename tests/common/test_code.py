"""Which edits make results stale. Small packages stand in for the repository."""

import ast
import re
from pathlib import Path

import pytest

from benchmark.common import code
from benchmark.common.files import read_json
from benchmark.common.results import REPORTS

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
"""A little of everything whose syntax tree could depend on the version of Python."""

import os as system
from collections.abc import Callable

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
        yield lambda x: f"{x!r:>{b}} and {a + 1:.2f}"
    try:
        del one[1:2, ::3]
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


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with FILES in the repository's place."""
    for name, content in FILES.items():
        write(tmp_path / name, content)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def edited(root: Path, old: str, new: str) -> str:
    """The stage's digest after one edit of its source."""
    assert STAGE.count(old) == 1, f"{old!r} must be in the source once"
    write(root / "benchmark/room/stage.py", STAGE.replace(old, new))
    return code.digest(NAME)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    # A square.\n", ""),
        ("# A square.", "# A rectangle."),
        ('"""What the stage does."""', '"""Something else."""'),
        ('    """Its options."""\n', ""),
        ('    """In pixels."""\n', ""),
        ('"""In pixels."""', '"""In metres."""'),
        ('    """In square pixels."""\n', ""),
    ],
)
def test_comments_and_docstrings_change_no_digest(root: Path, old: str, new: str) -> None:
    before = code.digest(NAME)
    assert edited(root, old, new) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from dataclasses", "\n\n\nfrom dataclasses"),
        ("(options: Options, *rest: int)", "(\n    options: Options,\n    *rest: int\n)"),
        ("options.width * helper", "options.width   *   helper"),
        ("helper.twice(options.width)", "(helper.twice((options.width)))"),
    ],
)
def test_positions_change_no_digest(root: Path, old: str, new: str) -> None:
    before = code.digest(NAME)
    assert edited(root, old, new) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("width: int = 3", "width: int = 4"),
        ("width: int = 3", "width: int = 3.0"),
        ("width: int = 3", "width: int = None"),
        ("width: int = 3", "width: int"),
        ("options.width * helper", "options.width + helper"),
        ("class Options:", "class Choices:"),
        ("width: int", "height: int"),
        ("width: int", "width: float"),
        ("*rest", "*others"),
        (", *rest: int", ""),
        ("@dataclass\n", ""),
        ("return options", "options"),
        ("helper.twice(options.width)", "helper.twice(options.width, 1)"),
    ],
)
def test_a_constant_an_operator_or_a_name_changes_it(root: Path, old: str, new: str) -> None:
    before = code.digest(NAME)
    assert edited(root, old, new) != before


def test_none_in_a_constants_place_is_told_from_its_name(root: Path) -> None:
    nothing = edited(root, "width: int = 3", "width: int = None")
    assert edited(root, "width: int = 3", 'width: int = "None"') != nothing


def test_a_text_that_is_used_is_no_docstring(root: Path) -> None:
    one = edited(root, '"""In square pixels."""', 'unit = "px"')
    assert edited(root, '"""In square pixels."""', 'unit = "m"') != one


def test_it_holds_what_the_stage_imports_and_the_packages_around(root: Path) -> None:
    assert code.modules(NAME) == [
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
    assert "benchmark.room.late" in code.modules(NAME)
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
    """Python 3.11, 3.12 and 3.13 agreed on it when it was written down."""
    write(root / "benchmark/fixed.py", FIXED)
    assert code.digest("benchmark.fixed") == (
        "54f3285785741515f75b2424d910899e8dc677414e65be8e6aa421f8e28686f3"
    )


def test_an_empty_text_that_python_3_12_adds_to_a_format_does_not_count() -> None:
    tree = ast.parse('f"{x:>{y}}"')
    plain = code._structure(tree)
    (format_spec,) = (n.format_spec for n in ast.walk(tree) if getattr(n, "format_spec", None))
    format_spec.values.append(ast.Constant(""))
    assert code._structure(tree) == plain


def test_stages_have_code_digests_of_their_own() -> None:
    digests = {code.digest(module) for module in code.STAGES.values()}
    assert len(digests) == len(code.STAGES)


def test_the_report_depends_on_its_page() -> None:
    """The one template of this repository."""
    template = Path(code.ROOT / "benchmark/report/page.html")
    assert template.is_file()
    assert "benchmark.report.page" in code.modules(code.STAGES["report"])


def test_what_measuring_processes_run_counts() -> None:
    """They are started by their name, which no import statement need hold."""
    from benchmark.throughput.launch import PROCESS_MODULE

    assert PROCESS_MODULE in code.modules(code.STAGES["throughput"])


def test_the_stage_writes_a_digest_and_the_modules_for_each(
    change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code.run(change())
    written = {path.stem: read_json(path) for path in (REPORTS / "code").iterdir()}
    assert written.keys() == code.STAGES.keys()
    for stage, module in code.STAGES.items():
        assert re.fullmatch("[0-9a-f]{64}", written[stage]["digest"])
        assert written[stage]["digest"] == code.digest(module)
        assert module in written[stage]["modules"]

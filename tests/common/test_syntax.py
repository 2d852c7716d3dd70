"""Edits of a source text that do not change its reduced syntax tree, and edits that do."""

import ast

import pytest

from benchmark.common import syntax
from benchmark.common.syntax import canonical

SOURCE = '''
"""What the module does."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from torch import Tensor

LIMIT: int = 3
REMEDY = "Lower the batch size."
WORDS = {"Bus error": "A loader ended."}


class Options(BaseModel):
    """Its options."""

    width: int = 3
    """In pixels."""
    status: Literal["ok", "out of memory"] = "ok"

    def check(self) -> None:
        """Refuse what is too wide."""
        if self.width > LIMIT:
            raise ValueError(f"{self.width} is too wide.")


def total(values: "Sequence[Tensor]", scale: float = 2.0) -> float:
    """Return the scaled sum."""
    # A comment.
    result: float = 0.0
    assert values, "nothing to add"
    for number, value in enumerate(values):
        print(f"value {number} is added")
        result += scale * float(value)
    try:
        squares = [square**2 for square in values if (root := square) > 1]
    except ValueError as error:
        warnings.warn(f"no squares: {error}", stacklevel=2)
        squares = []
    if "Bus error" in REMEDY:
        return 0.0

    def add(more: float) -> None:
        nonlocal result
        result += more

    add(sum(squares))
    label = f"{scale:.2f} times the sum"
    return {label: result}[label]
'''


def edited(old: str, new: str) -> str:
    """Return SOURCE with one edit."""
    assert SOURCE.count(old) == 1, f"{old!r} must be in the source once"
    return SOURCE.replace(old, new)


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    # A comment.\n", ""),
        ("# A comment.", "# Another comment."),
        ('"""What the module does."""\n', ""),
        ('    """Its options."""\n', ""),
        ('    """In pixels."""\n', ""),
        ('"""Return the scaled sum."""', '"""Return a sum."""'),
        ("from typing", "\n\n\nfrom typing"),
        ("def check(self)", "def check(\n        self,\n    )"),
        ("scale * float(value)", "scale * (float(value))"),
    ],
)
def test_comments_and_docstrings_do_not_count(old: str, new: str, texts: bool) -> None:
    assert canonical(edited(old, new), texts=texts) == canonical(SOURCE, texts=texts)


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT: int = 3", "LIMIT = 3"),
        ("scale: float = 2.0", "scale: int = 2.0"),
        (") -> float:", ") -> int:"),
        ("result: float = 0.0", "result = 0.0"),
        ("    result: float", "    squares: list[Tensor]\n    result: float"),
        ("TYPE_CHECKING, Literal", "TYPE_CHECKING, Any, Literal"),
        ("from collections.abc import Sequence\n", ""),
        ("    from torch import Tensor", "    from numpy import ndarray"),
    ],
)
def test_types_outside_of_classes_do_not_count(old: str, new: str, texts: bool) -> None:
    assert canonical(edited(old, new), texts=texts) == canonical(SOURCE, texts=texts)


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("name", ["result", "number", "value", "squares", "error", "label"])
def test_names_of_local_variables_do_not_count(name: str, texts: bool) -> None:
    renamed = SOURCE.replace(name, f"{name[0]}x")
    # The class and the messages contain other words with the same letters.
    for word in ("ValueError", "values", "Bus error", "value {", "no squares:"):
        renamed = renamed.replace(word.replace(name, f"{name[0]}x"), word)
    assert renamed != SOURCE
    assert canonical(renamed, texts=False) == canonical(SOURCE, texts=False)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n one = 1\n two = 2\n return one",
        "def f():\n one = [two for two in one]",
        "f([one for one in a])",
        "f({one: two for one, two in a})",
        "f(lambda: (one := 1) + one)",
        "def f():\n [(one := two) for two in a]\n return one",
        "async def f():\n async with a as one:\n  await one",
        "def f():\n import a as b\n one = b",
        "def f():\n one = 1\n def g():\n  nonlocal one\n  one = 2",
        "def f(a):\n match a:\n  case [one, *two]:\n   return one, two",
        "def f(a):\n match a:\n  case {1: one, **two}:\n   return two",
        "def f():\n try:\n  a()\n except b as one:\n  c(one)",
    ],
)
def test_every_kind_of_local_variable_may_be_renamed(source: str) -> None:
    renamed = source.replace("one", "x").replace("two", "y")
    assert canonical(renamed, texts=True) == canonical(source, texts=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n a = 1\n b = 2\n return a", "def f():\n a = 1\n b = 2\n return b"),
        ("def f(a):\n a = 1", "def f(b):\n b = 1"),
        ("f(a=1)", "f(b=1)"),
        ("def f():\n self.a = 1", "def f():\n self.b = 1"),
        ("a = 1", "b = 1"),
        ("class C:\n a = 1", "class C:\n b = 1"),
        ("def f():\n class C:\n  a = 1", "def f():\n class C:\n  b = 1"),
        ("def f():\n a = 1\n class C:\n  a = 2", "def f():\n b = 1\n class C:\n  b = 2"),
        ("def f():\n global a\n a = 1", "def f():\n global b\n b = 1"),
        ("def f():\n return a", "def f():\n return b"),
        ("a = [b for b in b]", "a = [c for c in c]"),
        ("def f():\n a.x()\n return [a for a in c]", "def f():\n b.x()\n return [b for b in c]"),
        ("def f():\n a.x()\n def g():\n  a = 1", "def f():\n b.x()\n def g():\n  b = 1"),
        ("def f():\n a = 1\n return lambda a: a", "def f():\n a = 1\n return lambda b: a"),
        ("def f():\n import a", "def f():\n import b"),
    ],
)  # fmt: skip
def test_names_that_others_may_use_count(one: str, other: str) -> None:
    assert canonical(one, texts=True) != canonical(other, texts=True)


MESSAGES = [
    ('"Lower the batch size."', '"Raise the batch size."'),
    ('"A loader ended."', '"A worker ended."'),
    ('f"{self.width} is too wide."', '"It is too wide."'),
    ('f"{self.width} is too wide."', 'f"{self.width} is above {LIMIT}."'),
    ('"nothing to add"', '"empty"'),
    (', "nothing to add"', ""),
    ('f"value {number} is added"', '"added"'),
    ('        print(f"value {number} is added")\n', ""),
    ("no squares: {error}", "no squares ({error})"),
    ("times the sum", "of the sum"),
    ("{scale:.2f} times", "{scale:.3f} times"),
]


@pytest.mark.parametrize(("old", "new"), MESSAGES)
def test_messages_do_not_count(old: str, new: str) -> None:
    assert canonical(edited(old, new), texts=False) == canonical(SOURCE, texts=False)


@pytest.mark.parametrize(("old", "new"), MESSAGES)
def test_messages_count_where_texts_are_the_result(old: str, new: str) -> None:
    assert canonical(edited(old, new), texts=True) != canonical(SOURCE, texts=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = ''", "a = 'no device here'"),
        ("a = None", "a = 'None'"),
        ("def f():\n a = 'one'", "def f():\n 'one'"),
        ("a = 'one'", "a = 'two'"),
        ("a = '--fast --exact=1'", "a = '--fast --exact=2'"),
        ("a = f'{b} --fast'", "a = f'{b} --exact'"),
        ("a = f'{b} {c}'", "a = f'{b}-{c}'"),
        ("a = f'{b} of c'", "a = f'{d} of c'"),
        ("a == 'two words'", "a == 'other words'"),
        ("a['two words']", "a['other words']"),
        ("a = {'two words': 1}", "a = {'other words': 1}"),
        ("raise ValueError('a b')", "raise TypeError('a b')"),
        ("raise a from b", "raise a from None"),
        ("assert a, 'why not'", "assert b, 'why not'"),
        ("print(a, file=pipe)", "print(b, file=pipe)"),
        ("a.write(b)", "a.write(c)"),
    ],
)
def test_what_decides_counts(one: str, other: str) -> None:
    assert canonical(one, texts=False) != canonical(other, texts=False)


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT: int = 3", "LIMIT: int = 4"),
        ("scale: float = 2.0", "scale: float = 2"),
        ("square**2", "square**3"),
        ("> 1]", "> 2]"),
        ("width: int = 3", "width: float = 3"),
        ("width: int = 3", "width: int"),
        ("width: int = 3", "height: int = 3"),
        ("class Options(", "@final\nclass Options("),
        ("def check(self)", "def check(self, *more)"),
        ("return {label", "{label"),
        ('Literal["ok", "out of memory"]', 'Literal["ok", "no memory"]'),
        ('if "Bus error" in', 'if "Other error" in'),
        ('{"Bus error":', '{"Other error":'),
        ("import warnings", "import logging"),
        ("result += more", "result -= more"),
        ("        nonlocal result\n", ""),
        ("raise ValueError", "raise TypeError"),
    ],
)
def test_what_computes_counts(old: str, new: str, texts: bool) -> None:
    assert canonical(edited(old, new), texts=texts) != canonical(SOURCE, texts=texts)


def test_an_empty_text_that_python_3_12_adds_to_a_format_does_not_count() -> None:
    tree = ast.parse('f"{x:>{y}}"')
    plain = syntax._structure(tree)
    (format_spec,) = (n.format_spec for n in ast.walk(tree) if getattr(n, "format_spec", None))
    format_spec.values.append(ast.Constant(""))
    assert syntax._structure(tree) == plain

"""Reduce a source text's syntax tree to the code that can change a result.

Comments, docstrings, types, messages and names of local variables are removed or replaced.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Set
from functools import cache
from itertools import count
from typing import Any

TYPE_MODULES = {"typing", "collections.abc", "numpy.typing"}
"""Modules that define types. Their imports are removed; uses of their names outside annotations
stay."""
MESSAGES = {"print", "warn", "UserError"}
"""Functions and classes whose arguments are messages."""
PROSE = re.compile(r"(?!\s*-)(?=.*[^\W\d_]).* ", re.DOTALL)
"""Matches a text with a space and a letter. Options, which begin with `-`, are not prose."""
NAME_FIELDS: dict[type[ast.AST], str] = {
    ast.Name: "id", ast.ExceptHandler: "name", ast.MatchAs: "name", ast.MatchStar: "name",
    ast.MatchMapping: "rest",
}  # fmt: skip
"""Nodes that assign or read a variable, and their attribute for the variable's name."""
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Scope = Function | Comprehension | ast.ClassDef


@cache
def canonical(source: str, *, texts: bool) -> str:
    """Return a module's reduced syntax tree as JSON, equal in every version of Python.

    `texts`: whether to keep messages.
    """
    return json.dumps(_structure(reduced(source, texts=texts)))


def reduced(source: str, *, texts: bool) -> ast.AST:
    """Return a module's syntax tree without what cannot change a result; `texts` keeps messages."""
    tree = _Computing().visit(ast.parse(source))
    return _Numbered().visit(tree if texts else _Silent().visit(tree))


class _Computing(ast.NodeTransformer):
    """Removes docstrings, and annotations outside of class bodies.

    Annotations of a class's attributes stay: pydantic, dataclasses and named tuples read them.
    """

    in_class = False

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._inside(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._inside(node, in_class=False)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._inside(node, in_class=False)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if self.in_class:
            return node
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module in TYPE_MODULES else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        typing_only = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if typing_only else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Remove statements that consist of a text: docstrings, also those of attributes."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def _inside(self, node: ast.AST, *, in_class: bool) -> ast.AST:
        """Visit a node's children with `self.in_class` set, then restore it."""
        outer, self.in_class = self.in_class, in_class
        self.generic_visit(node)
        self.in_class = outer
        return node


class _Silent(ast.NodeTransformer):
    """Removes messages of `raise`, `assert` and MESSAGES; replaces other prose by "a text".

    Texts in comparisons, dictionary keys and subscripts stay, since they decide what is computed.
    """

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_message(node.value) else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return node.func if _is_message(node) else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("a text") if _is_prose(node) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Replace an f-string that contains prose by a tuple of its values, without formats."""
        if not any(map(_is_prose, node.values)):
            return self.generic_visit(node)
        values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return ast.Tuple([self.visit(value) for value in values], ast.Load())

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value = self.visit(node.value)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        node.values = [self.visit(value) for value in node.values]
        return node


class _Numbered(ast.NodeTransformer):
    """Replaces the names of local variables by numbers, in the order of their first assignment.

    Parameters keep their names, since calls may use them. Functions, classes and imports keep
    their names too.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.numbers = count()

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Nonlocal):
            return None  # the numbers already express it
        if isinstance(node, Function):
            parameters = {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}
            return self._inside(node, parameters | _declared(node, ast.Global), _assigned(node))
        if isinstance(node, Comprehension):
            return self._comprehension(node)
        if isinstance(node, ast.ClassDef):
            return self._inside(node, set(_assigned(node)), ())
        if field := NAME_FIELDS.get(type(node)):
            name = getattr(node, field)
            setattr(node, field, self.names.get(name, name))
        return self.generic_visit(node)

    def _comprehension(self, node: Comprehension) -> ast.AST:
        """Visit a comprehension; its first iterable belongs to the scope around it."""
        first = node.generators[0]
        iterable, first.iter = self.visit(first.iter), ast.Constant(None)
        targets = (generator.target for generator in node.generators)
        self._inside(node, set(), _stored(n for target in targets for n in ast.walk(target)))
        first.iter = iterable
        return node

    def _inside(self, node: Scope, hiding: Set[str], assigned: Iterable[str]) -> ast.AST:
        """Visit a scope and number those of its `assigned` names that are not in `hiding`."""
        outer = self.names
        fresh = {name: f"local {next(self.numbers)}" for name in assigned if name not in hiding}
        self.names = {name: outer[name] for name in outer.keys() - hiding} | fresh
        self.generic_visit(node)
        self.names = outer
        return node


def _is_message(node: ast.AST) -> bool:
    """Return whether a node is a call of MESSAGES; printing to a file other than stderr is not."""
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    files = [keyword.value for keyword in node.keywords if keyword.arg == "file"]
    return name in MESSAGES and all(ast.unparse(file) == "sys.stderr" for file in files)


def _is_prose(node: ast.AST) -> bool:
    """Return whether a node is a text that matches PROSE."""
    value = getattr(node, "value", None)
    return isinstance(value, str) and bool(PROSE.match(value))


def _assigned(scope: ast.AST) -> list[str]:
    """Return the names that a function or class assigns, in the order of their first assignment.

    Names that it declares global or nonlocal are left out.
    """
    declared = _declared(scope, ast.Global, ast.Nonlocal)
    return [name for name in _stored(_body(scope)) if name not in declared]


def _declared(scope: ast.AST, *kinds: type[ast.Global | ast.Nonlocal]) -> set[str]:
    """Return the names that a scope declares by `global` or `nonlocal` (`kinds`)."""
    return {name for node in _body(scope) if isinstance(node, kinds) for name in node.names}


def _stored(nodes: Iterable[ast.AST]) -> list[str]:
    """Return the names of the variables that `nodes` assign, in the order of the first one."""
    stored = (n for n in nodes if not isinstance(getattr(n, "ctx", None), ast.Load))
    names = (getattr(node, NAME_FIELDS[type(node)]) for node in stored if type(node) in NAME_FIELDS)
    return list(dict.fromkeys(filter(None, names)))


def _body(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of one scope, without nested functions and classes, and without targets of
    comprehensions."""
    for child in ast.iter_child_nodes(node):
        is_target = isinstance(node, ast.comprehension) and child is node.target
        if not is_target and not isinstance(child, Function | ast.ClassDef):
            yield child
            yield from _body(child)


def _structure(node: Any) -> Any:
    """Return a syntax tree as nested lists without positions.

    Empty fields are left out, since not every version of Python has the same ones.
    """
    if isinstance(node, list):
        return [_structure(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 adds empty texts
        parts = [part for part in node.values if getattr(part, "value", None) != ""]
        return ["JoinedStr", *([["values", _structure(parts)]] if parts else [])]
    fields = ([name, _structure(value)] for name, value in ast.iter_fields(node))
    return [type(node).__name__, *(field for field in fields if field[1] not in ("None", []))]

"""Rules: tests that say, when they break, what was seen, why it matters and how to mend it."""

import functools
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import pytest

from datamodule_conformance.causes import root

Test = TypeVar("Test", bound=Callable[..., None])
MODULES = ("test_hooks", "test_shapes", "test_determinism")
FOLLOWS = "not judged: follows from a broken rule: "
"""And the name of that rule: why a rule was skipped that breaks for no reason of its own."""
FRAMEWORK = sys.stdlib_module_names | {
    "datamodule_conformance", "lightning", "lightning_fabric", "lightning_utilities",
    "pytorch_lightning", "torch",
}  # fmt: skip
"""What calls a DataModule, or is called by everybody's: no place to look for a mistake."""
IN_WORKER = "Caught "
"""Begins the message of an error that a worker process sent, with its whole traceback."""
TRANSLATIONS = {
    r"The (\w+) implementation has an error where more than one .*`(\w+)=\.\.\.`.*": (
        r"\1 passes \2 on by position; pass \2 by keyword: Lightning re-creates the loader for "
        "predict, and for several processes, with arguments by keyword"
    ),
}
"""Words of Lightning's that name no mistake, and what they mean."""


@dataclass(frozen=True)
class Rule:
    """One clause of the contract."""

    name: str
    why: str
    fix: str
    test: str
    """Module and function that check it."""

    def broken(self, seen: str) -> str:
        """What the user reads."""
        return f"{self.name}\n\n  seen  {seen}\n  why   {self.why}\n  fix   {self.fix}\n"


class Broken(AssertionError):
    """A rule does not hold; the text is what was seen."""


class BrokenRule(pytest.fail.Exception):  # type: ignore[misc, name-defined]
    """The same, with which rule it is, as pytest shows it: without a traceback."""

    def __init__(self, rule: Rule, seen: str) -> None:
        super().__init__(rule.broken(seen), pytrace=False)
        self.rule = rule
        self.seen = seen


def expect(holds: bool, seen: str) -> None:
    """The rule under test is broken unless `holds`."""
    if not holds:
        raise Broken(seen)


def rule(why: str, fix: str) -> Callable[[Test], Test]:
    """Makes a test a rule: whatever it raises becomes a message without a traceback."""

    def decorated(test: Test) -> Test:
        name = test.__name__.removeprefix("test_")
        kept = Rule(name.replace("_", " "), why, fix, f"{test.__module__}::{test.__name__}")

        @functools.wraps(test)
        def judged(*arguments: Any, **named: Any) -> None:
            try:
                test(*arguments, **named)
            except Exception as error:
                seen = _seen(error)
            else:
                return
            given = [*arguments, *named.values()]  # the observations, if any
            if given and (cause := root(kept.name, given[0], tests())):
                pytest.skip(f"{FOLLOWS}{cause}")
            raise BrokenRule(kept, seen)  # out there, or pytest would show the error as well

        judged.rule = kept  # type: ignore[attr-defined]
        return judged  # type: ignore[return-value]

    return decorated


def rules() -> list[Rule]:
    """All of them, in the order of their modules."""
    return [test.rule for test in judged_tests()]


def tests() -> dict[str, Callable[[Any], None]]:
    """By name of a rule: its test, which raises what it sees."""
    return {test.rule.name: inspect.unwrap(test) for test in judged_tests()}


def judged_tests() -> list[Any]:
    """The test of each rule, which makes a message of what it raises."""
    modules = [importlib.import_module(f"datamodule_conformance.{name}") for name in MODULES]
    found = [test for module in modules for test in vars(module).values()]
    return [test for test in found if inspect.isfunction(test) and hasattr(test, "rule")]


def _seen(error: Exception) -> str:
    if isinstance(error, Broken):
        return str(error)
    lines = str(error).strip().splitlines() or ["no message"]
    if lines[0].startswith(IN_WORKER):
        words = lines[-1]
    else:
        words = f"{type(error).__name__}: {_translated(lines[0])}"
    frame = _place(error)
    return words if frame is None else f"{words} ({frame.name} in {frame.filename}:{frame.lineno})"


def _translated(message: str) -> str:
    for words, meaning in TRANSLATIONS.items():
        message = re.sub(words, meaning, message)
    return message


def _place(error: Exception) -> traceback.FrameSummary | None:
    """The last line of the user's own code, if there was any.

    Of what pip installed, that is the first package that the framework called.
    """
    calls = list(traceback.walk_tb(error.__traceback__))
    others = [call for call in calls if _package(call[0]) not in FRAMEWORK]
    own = [call for call in others if "site-packages" not in call[0].f_code.co_filename]
    own = own or [call for call in others if _package(call[0]) == _package(others[0][0])]
    return traceback.StackSummary.extract(iter(own[-1:]))[0] if own else None


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]

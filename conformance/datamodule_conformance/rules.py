"""Rules: tests that say, when they break, what was seen, why it matters and how to mend it."""

import functools
import importlib
import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from datamodule_conformance.causes import root

Test = TypeVar("Test", bound=Callable[..., None])
MODULES = ("test_hooks", "test_shapes", "test_determinism")
FOLLOWS = "not judged: follows from a broken rule: "
"""And the name of that rule: why a rule was skipped that breaks for no reason of its own."""


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
                observations = next(iter((*arguments, *named.values())))
                if cause := root(kept.name, observations, tests()):
                    pytest.skip(f"{FOLLOWS}{cause}")
                pytest.fail(kept.broken(_seen(error)), pytrace=False)

        judged.rule = kept  # type: ignore[attr-defined]
        return judged  # type: ignore[return-value]

    return decorated


def rules() -> list[Rule]:
    """All of them, in the order of their modules."""
    return [test.rule for test in _judged()]


def tests() -> dict[str, Callable[[Any], None]]:
    """By name of a rule: its test, which raises what it sees."""
    return {test.rule.name: inspect.unwrap(test) for test in _judged()}


def _judged() -> list[Any]:
    modules = [importlib.import_module(f"datamodule_conformance.{name}") for name in MODULES]
    found = [test for module in modules for test in vars(module).values()]
    return [test for test in found if inspect.isfunction(test) and hasattr(test, "rule")]


def followers(skipped: list[pytest.TestReport]) -> dict[str, list[str]]:
    """By broken rule: those that were skipped since they follow from it."""
    found: dict[str, list[str]] = {}
    for report in skipped:
        _, follows, cause = str(report.longrepr).rpartition(FOLLOWS)
        if follows:
            name = report.nodeid.split("::")[-1].removeprefix("test_").replace("_", " ")
            found.setdefault(cause.rstrip("')"), []).append(name)
    return found


def _seen(error: Exception) -> str:
    if isinstance(error, Broken):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    frame = (own or frames)[-1]
    # A worker process sends its whole traceback as the message: its last line is the error.
    message = (str(error).strip() or "no message").splitlines()[-1]
    return f"{type(error).__name__}: {message} ({frame.name} in {frame.filename}:{frame.lineno})"

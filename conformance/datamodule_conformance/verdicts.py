"""Verdicts: what a rule says of a DataModule."""

from dataclasses import dataclass
from enum import StrEnum

import pytest

from datamodule_conformance.rules import BrokenRule, Rule


class Outcome(StrEnum):
    """What becomes of a rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_JUDGED = "not judged"
    ACKNOWLEDGED = "acknowledged"
    """Broken, and the project says why it means to."""


@dataclass(frozen=True)
class Verdict:
    """One rule's."""

    rule: str
    outcome: Outcome
    seen: str = ""
    why: str = ""
    fix: str = ""
    reason: str = ""
    """Why it was not judged, or is broken on purpose."""

    def __str__(self) -> str:
        return f"{self.rule}\n\n  seen  {self.seen}\n  why   {self.why}\n  fix   {self.fix}\n"


def verdict_of(rule: Rule, raised: BaseException | None) -> Verdict:
    """What it means that the test of `rule` raised this."""
    if raised is None:
        return Verdict(rule.name, Outcome.HOLDS)
    if isinstance(raised, pytest.skip.Exception):
        reason = str(raised).removeprefix("not judged: ")
        return Verdict(rule.name, Outcome.NOT_JUDGED, reason=reason)
    seen = raised.seen if isinstance(raised, BrokenRule) else f"{type(raised).__name__}: {raised}"
    return Verdict(rule.name, Outcome.BROKEN, seen, rule.why, rule.fix)

"""Results of rules. This module does not import torch."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_JUDGED = "not judged"
    ACKNOWLEDGED = "acknowledged"
    """Broken, and the project states why this is intended."""


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule."""

    rule: str
    """The name of the rule."""
    outcome: Outcome
    seen: str = ""
    """What was observed, if the rule is broken."""
    why: str = ""
    fix: str = ""
    reason: str = ""
    """Why the rule was not judged or is broken on purpose; or a remark on a rule that holds."""

    def __str__(self) -> str:
        return f"{self.rule}\n\n  seen  {self.seen}\n  why   {self.why}\n  fix   {self.fix}\n"

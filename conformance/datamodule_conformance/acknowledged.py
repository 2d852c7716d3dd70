"""Deviations that a project acknowledges: rules that it means to break, each with its reason."""

import difflib
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datamodule_conformance.rules import rules
from datamodule_conformance.verdicts import Outcome, Verdict

FILE = "conformance.toml"
PROJECT = "pyproject.toml"
TABLE = "datamodule-conformance"


class AcknowledgedError(ValueError):
    """What is written can't be meant: what, where, and what to do about it."""


@dataclass(frozen=True)
class Deviations:
    """Those of one DataModule, and the file that says so."""

    file: Path
    reasons: dict[str, str] = field(default_factory=dict)
    """By the rule's name."""

    @classmethod
    def load(cls, path: str, folder: Path) -> "Deviations":
        """Those of the DataModule `path`, from the nearest file in `folder` or above it.

        Raises:
            AcknowledgedError: a rule or a reason is missing.
        """
        for place in (folder, *folder.parents):
            for file in (place / FILE, place / PROJECT):
                content = _content(file)
                if content is not None:
                    return cls(file, _checked(file, content, path))
        return cls(folder / FILE)

    def applied(self, verdict: Verdict) -> Verdict:
        """The verdict in their light: broken on purpose, or no longer broken."""
        reason = self.reasons.get(verdict.rule)
        if reason is None or verdict.outcome is Outcome.NOT_JUDGED:
            return verdict
        if verdict.outcome is Outcome.BROKEN:
            return replace(verdict, outcome=Outcome.ACKNOWLEDGED, reason=reason)
        return Verdict(
            verdict.rule, Outcome.BROKEN,
            f"it holds, and {self.file.name} acknowledges that it does not: {reason}",
            "A deviation that is gone would hide the next one.", "Delete its line there.",
        )  # fmt: skip


def _content(file: Path) -> dict[str, Any] | None:
    """What the file says of deviations, if it says anything."""
    if not file.is_file():
        return None
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        if file.name == PROJECT:
            return None  # is others' affair
        raise AcknowledgedError(f"{file} is no TOML: {error}.") from error
    table: dict[str, Any] | None
    table = content if file.name == FILE else content.get("tool", {}).get(TABLE)
    return table


def _checked(file: Path, content: dict[str, Any], path: str) -> dict[str, str]:
    known = [rule.name for rule in rules()]
    for name, table in content.items():
        if not isinstance(table, dict):
            raise AcknowledgedError(
                f'{file}: "{name}" belongs to no DataModule. Write it below ["{path}"].'
            )
    reasons: dict[str, Any] = content.get(path, {})
    for name, reason in reasons.items():
        if name not in known:
            raise AcknowledgedError(f'{file}: "{name}" is no rule. {_remedy(name, known)}')
        if not isinstance(reason, str) or not reason.strip():
            raise AcknowledgedError(f'{file}: "{name}" has no reason. Write why it is meant.')
    return reasons


def _remedy(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f'Did you mean "{close[0]}"?'
    return "`python -m datamodule_conformance` lists them."

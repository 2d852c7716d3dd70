"""Acknowledged deviations: rules that a project breaks on purpose, each with its reason.

This module does not import torch, so that an invalid entry is reported at once.
"""

import difflib
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning_conformance.results import Outcome, RuleResult

FILE = "conformance.toml"
PROJECT = "pyproject.toml"
TABLE, OLD_TABLE = "lightning-conformance", "datamodule-conformance"
"""Names of the table in pyproject.toml: now, and until version 0.1."""
LIST_RULES = "`python -m lightning_conformance`"


class AcknowledgedError(ValueError):
    """An invalid entry; the text names the file, the fault and the remedy."""


@dataclass(frozen=True)
class Deviations:
    """The acknowledged deviations of one DataModule."""

    file: Path
    """The file that lists them."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By name of a rule: why the project breaks it on purpose."""
    note: str = ""
    """A sentence about tables of the file, if it has some and none for the DataModule."""

    @classmethod
    def load(cls, path: str, folder: Path) -> "Deviations":
        """Return the deviations of DataModule `path`, from the nearest file in or above `folder`.

        Raises:
            AcknowledgedError: an entry is invalid.
        """
        for parent in (folder, *folder.parents):
            for file in (parent / FILE, parent / PROJECT):
                content = _read(file)
                if content is not None:
                    return cls(file, _reasons(file, content, path), _note(file, content, path))
        return cls(folder / FILE)

    def apply(self, result: RuleResult) -> RuleResult:
        """Return the result of a rule after the project's deviations.

        An acknowledged rule is ACKNOWLEDGED if it is broken, and BROKEN if it is not broken any
        more, since its entry is outdated. Other results are returned unchanged.
        """
        reason = self.reasons.get(result.rule)
        if reason is None or result.outcome is Outcome.NOT_JUDGED:
            return result
        if result.outcome is Outcome.BROKEN:
            return replace(result, outcome=Outcome.ACKNOWLEDGED, reason=reason)
        return RuleResult(
            result.rule, Outcome.BROKEN,
            f"the rule holds, but {self.file.name} acknowledges a deviation: {reason}",
            "An outdated entry would hide the next deviation.",
            f"Delete its line in {self.file.name}.",
        )  # fmt: skip


def _read(file: Path) -> dict[str, Any] | None:
    """Return the deviations of all DataModules in `file`; None without file or table."""
    if not file.is_file():
        return None
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        if file.name == PROJECT:
            return None  # other tools report it
        raise AcknowledgedError(f"{file} is not valid TOML: {error}.") from error
    if file.name == FILE:
        return content
    tables = content.get("tool", {})
    if OLD_TABLE in tables:
        raise AcknowledgedError(f"{file}: [tool.{OLD_TABLE}] is now [tool.{TABLE}]. Rename it.")
    return tables.get(TABLE)


def _reasons(file: Path, content: dict[str, Any], path: str) -> dict[str, str]:
    """Check all entries, and return the reasons for the DataModule `path`, by rule."""
    names = _rule_names()
    if outside := [key for key, table in content.items() if not isinstance(table, dict)]:
        raise AcknowledgedError(
            f'{file}: "{outside[0]}" stands outside a table. Write it below ["{path}"].'
        )
    reasons: dict[str, Any] = content.get(path, {})
    for name, reason in reasons.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            remedy = f'Did you mean "{close[0]}"?' if close else f"List them: {LIST_RULES}."
            raise AcknowledgedError(f'{file}: "{name}" is not a rule. {remedy}')
        if not isinstance(reason, str) or not reason.strip():
            raise AcknowledgedError(f'{file}: "{name}" has no reason. State why it is intended.')
    return reasons


def _note(file: Path, content: dict[str, Any], path: str) -> str:
    """Return a sentence about the tables of `file` if none is for `path`: it may be misspelt."""
    if not content or path in content:
        return ""
    tables = ", ".join(f'["{table}"]' for table in content)
    return f'{file}: no table is for ["{path}"]; these are for something else: {tables}.'


def _rule_names() -> list[str]:
    """Return the names of all rules, read from the texts of their tests."""
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    tests = [re.findall(r"(?m)^def test_(\w+)\(", file.read_text("utf-8")) for file in files]
    return [name.replace("_", " ") for names in tests for name in names]

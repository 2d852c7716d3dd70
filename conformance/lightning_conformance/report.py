"""Reports of all results: a summary for the terminal, and a file as JSON or Markdown."""

import html
import json
import textwrap
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from lightning_conformance.results import Outcome, RuleResult
from lightning_conformance.rules import rules

LEFT_OUT = "left out of this run"
ORDER = (Outcome.BROKEN, Outcome.ACKNOWLEDGED, Outcome.NOT_JUDGED, Outcome.HOLDS)
NOTHING_JUDGED = "Nothing was proved: no rule about a fit could be judged, see the reasons."
REMARK = "remark"
"""Label of the remarks on rules that hold."""
INDENT = 16
"""Columns before the text in the summary."""


def describe_counts(results: list[RuleResult]) -> str:
    """Return the number of results with each outcome, in words."""
    counts = Counter(result.outcome for result in results)
    text = (
        f"{counts[Outcome.HOLDS]} rules hold, {counts[Outcome.BROKEN]} broken, "
        f"{counts[Outcome.NOT_JUDGED]} not judged"
    )
    acknowledged = counts[Outcome.ACKNOWLEDGED]
    return f"{text}, {acknowledged} acknowledged" if acknowledged else text


def nothing_judged(results: list[RuleResult]) -> bool:
    """Return whether no rule about a fit could be judged, and none is broken."""
    about_fits = {rule.name for rule in rules() if rule.requires}
    judged = [result for result in results if result.outcome is not Outcome.NOT_JUDGED]
    selected = any(result.rule in about_fits for result in results)
    return selected and all(
        result.outcome is Outcome.HOLDS and result.rule not in about_fits for result in judged
    )


def summary(name: str, results: list[RuleResult], width: int) -> str:
    """Return the counts, broken and acknowledged rules, remarks, and the rules not judged.

    Rules that were not judged are grouped by reason. `width` is the terminal's, in columns.
    """
    lines = [f"{name}: {describe_counts(results)}"]
    for outcome, field in ((Outcome.BROKEN, "seen"), (Outcome.ACKNOWLEDGED, "reason")):
        texts = [
            textwrap.shorten(
                f"{result.rule}: {getattr(result, field)}", width - INDENT, placeholder=" ..."
            )
            for result in results if result.outcome is outcome
        ]  # fmt: skip
        lines += _labelled(outcome, texts, width)
    remarks = [
        f"{result.rule}: {result.reason}"
        for result in results if result.outcome is Outcome.HOLDS and result.reason
    ]  # fmt: skip
    lines += _labelled(REMARK, remarks, width)
    unjudged: dict[str, list[str]] = {}
    for result in results:
        if result.outcome is Outcome.NOT_JUDGED:
            unjudged.setdefault(result.reason, []).append(result.rule)
    groups = [f"{reason}: {'; '.join(names)}" for reason, names in unjudged.items()]
    return "\n".join([*lines, *_labelled(Outcome.NOT_JUDGED, groups, width)])


def write(path: Path, name: str, results: list[RuleResult], about_module: bool = False) -> None:
    """Write every rule's result to `path`, as JSON (.json) or Markdown.

    A rule without a result is written as not judged. Rules about a module are written if
    `about_module`.
    """
    left_out = {
        rule.name: RuleResult(rule.name, Outcome.NOT_JUDGED, reason=LEFT_OUT)
        for rule in rules(about_module)
    }
    complete = list((left_out | {result.rule: result for result in results}).values())
    if path.suffix == ".md":
        path.write_text(_markdown(name, complete), encoding="utf-8")
        return
    counts = Counter(result.outcome for result in complete)
    content = {
        "datamodule": name,
        "counts": {outcome: counts[outcome] for outcome in Outcome},
        "rules": [asdict(result) for result in complete],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _labelled(outcome: str, texts: list[str], width: int) -> list[str]:
    """Return lines: the wrapped texts in one column, with the outcome before the first."""
    lines: list[str] = []
    for text in texts:
        label = "" if lines else outcome
        first = f"  {label:{INDENT - 2}}"
        lines += textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * INDENT)
    return lines


def _markdown(name: str, results: list[RuleResult]) -> str:
    rows = [["Rule", "Outcome", "Details"], ["---"] * 3]
    for result in sorted(results, key=lambda result: ORDER.index(result.outcome)):
        seen, why, fix, reason = map(_cell, (result.seen, result.why, result.fix, result.reason))
        outcome, details = str(result.outcome), f"{reason}<br>*Seen* {seen}" if seen else reason
        if result.outcome is Outcome.BROKEN:
            outcome, details = f"**{outcome}**", f"{seen}<br>*Why* {why}<br>*Fix* {fix}"
        rows.append([result.rule, outcome, details])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"# {_cell(name)}", "", describe_counts(results), "", *lines, ""])


def _cell(text: str) -> str:
    """Return the text in one line, with HTML and the column separator escaped."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")

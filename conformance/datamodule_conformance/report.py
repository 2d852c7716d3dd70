"""All verdicts together: a summary of one screen, and a report as JSON or Markdown."""

import html
import json
import textwrap
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from datamodule_conformance.rules import rules
from datamodule_conformance.verdicts import Outcome, Verdict

SUFFIXES = (".json", ".md")
LEFT_OUT = "left out of this run"
ORDER = (Outcome.BROKEN, Outcome.ACKNOWLEDGED, Outcome.NOT_JUDGED, Outcome.HOLDS)
INDENT = 16
"""Of what follows an outcome in the summary."""


def counted(verdicts: list[Verdict]) -> str:
    """How many there are of each outcome."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    text = (
        f"{counts[Outcome.HOLDS]} rules hold, {counts[Outcome.BROKEN]} broken, "
        f"{counts[Outcome.NOT_JUDGED]} not judged"
    )
    known = counts[Outcome.ACKNOWLEDGED]
    return f"{text}, {known} acknowledged" if known else text


def summary(name: str, verdicts: list[Verdict], width: int) -> str:
    """The counts, and a line for each rule that does not hold; those not judged, by reason."""
    lines = [f"{name}: {counted(verdicts)}"]
    for outcome, field in ((Outcome.BROKEN, "seen"), (Outcome.ACKNOWLEDGED, "reason")):
        of_it = [verdict for verdict in verdicts if verdict.outcome is outcome]
        texts = [f"{verdict.rule}: {getattr(verdict, field)}" for verdict in of_it]
        short = [textwrap.shorten(text, width - INDENT, placeholder=" ...") for text in texts]
        lines += _listed(outcome, short, width)
    unjudged: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.outcome is Outcome.NOT_JUDGED:
            unjudged.setdefault(verdict.reason, []).append(verdict.rule)
    groups = [f"{reason}: {'; '.join(names)}" for reason, names in unjudged.items()]
    return "\n".join([*lines, *_listed(Outcome.NOT_JUDGED, groups, width)])


def write(path: Path, name: str, verdicts: list[Verdict]) -> None:
    """The report of every rule, in the form that the path's suffix says."""
    found = {verdict.rule: verdict for verdict in verdicts}
    missing = {rule.name: _left_out(rule.name) for rule in rules()}
    complete = list((missing | found).values())
    text = _json(name, complete) if path.suffix == ".json" else _markdown(name, complete)
    path.write_text(text, encoding="utf-8")


def _left_out(rule: str) -> Verdict:
    return Verdict(rule, Outcome.NOT_JUDGED, reason=LEFT_OUT)


def _listed(outcome: Outcome, texts: list[str], width: int) -> list[str]:
    """Each text below the one before, beside the outcome."""
    lines: list[str] = []
    for text in texts:
        head = "" if lines else outcome
        lines += textwrap.wrap(
            text, width, initial_indent=f"  {head:{INDENT - 2}}", subsequent_indent=" " * INDENT
        )
    return lines


def _json(name: str, verdicts: list[Verdict]) -> str:
    counts = Counter(verdict.outcome for verdict in verdicts)
    content = {
        "datamodule": name,
        "counts": {outcome: counts[outcome] for outcome in Outcome},
        "rules": [asdict(verdict) for verdict in verdicts],
    }
    return json.dumps(content, indent=2) + "\n"


def _markdown(name: str, verdicts: list[Verdict]) -> str:
    ordered = sorted(verdicts, key=lambda verdict: ORDER.index(verdict.outcome))
    rows = [[verdict.rule, _outcome(verdict), _words(verdict)] for verdict in ordered]
    table = [["Rule", "Outcome", "Words"], ["---"] * 3, *rows]
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([f"# {_plain(name)}", "", counted(verdicts), "", *lines, ""])


def _outcome(verdict: Verdict) -> str:
    broken = verdict.outcome is Outcome.BROKEN
    return f"**{verdict.outcome}**" if broken else str(verdict.outcome)


def _words(verdict: Verdict) -> str:
    seen, why, fix, reason = (
        _plain(text) for text in (verdict.seen, verdict.why, verdict.fix, verdict.reason)
    )
    if verdict.outcome is Outcome.BROKEN:
        return f"{seen}<br>*Why* {why}<br>*Fix* {fix}"
    return f"{reason}<br>*Seen* {seen}" if seen else reason


def _plain(text: str) -> str:
    """In a cell of a table, and no HTML."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")

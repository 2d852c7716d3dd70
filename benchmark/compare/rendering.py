"""A comparison as text for a terminal, as Markdown for a pull request, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmark.common.formatting import literal, plain, table
from benchmark.compare.changes import Change
from benchmark.errors.user_error import visible


def as_text(changes: Sequence[Change]) -> str:
    """One line for each change, then one for each regression."""
    return "\n".join(map(visible, [*map(str, changes), *_regressions(changes)]))


def as_markdown(names: tuple[str, str], changes: Sequence[Change]) -> str:
    """A heading with both names, the regressions, and a table with one row for each change."""
    rows = [("Accelerator", "Metric", "Before", "After", "Change", "Verdict")]
    for change in changes:
        basis = "; ".join(filter(None, (change.change, literal(change.basis))))
        name = literal(change.accelerator), literal(change.metric)
        rows.append((*name, change.before, change.after, basis, change.verdict.kind))
    # A duel measures ratios only: it leaves columns empty.
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    header, *lines = zip(*columns, strict=True)
    title = f"# {plain(literal(f'{names[1]} compared with {names[0]}'))}"
    regressions = [f"**{plain(literal(text))}.**" for text in _regressions(changes)]
    return "\n\n".join([title, *regressions, table(header, lines)]) + "\n"


def as_json(names: tuple[str, str], change: Change, status: int, pairs: int) -> dict[str, Any]:
    """The content of a duel's JSON file: sides, verdict, number of pairs and exit status."""
    return {
        "before": names[0], "after": names[1], "accelerator": change.accelerator,
        **asdict(change.verdict), "pairs": pairs, "status": status,
    }  # fmt: skip


def _regressions(changes: Sequence[Change]) -> list[str]:
    """One sentence for each change that decides and is a regression."""
    lost = [change for change in changes if change.decides and change.verdict.regression]
    return [
        f"Regression: {c.accelerator} {c.metric} lost more than {100 * c.verdict.limit:g}%"
        for c in lost
    ]

"""`python -m benchmark compare BEFORE AFTER`: compare recorded results.

The two rates come from two measuring sessions, and rates vary between sessions of the same code.
A lower rate is a regression only if it fell by more than this. `duel` detects smaller changes.
"""

from collections.abc import Mapping
from pathlib import Path

from benchmark.common.files import write_text
from benchmark.compare.changes import Change, compare_accuracies, compare_records
from benchmark.compare.rendering import as_markdown, as_text
from benchmark.compare.sides import read_results
from benchmark.compare.verdict import Verdict, exit_status
from benchmark.errors.user_error import UserError
from benchmark.report.parity import dataset_identity
from benchmark.report.schema import Record

DUEL = "To time two revisions here: .venv/bin/python -m benchmark duel BEFORE AFTER"


def run(before: str, after: str, limit: float, markdown: Path | None = None) -> int:
    """Print the comparison of two sources (see `read_results`), and write it to `markdown`.

    `limit` is the largest fraction of a metric that may be lost. Return the exit status: 1 after a
    regression, 2 if something is not comparable, else 0.

    Raises:
        UserError: a side cannot be read, or the first has no results.
    """
    sides = read_results(before), read_results(after)
    if not sides[0].records:
        raise UserError(f"{before} has no results.", "Measure it first: make repro.")
    exported = any(side.exported for side in sides)
    changes = compare(sides[0].records, sides[1].records, exported, limit)
    deciding = [change.verdict for change in changes if change.decides]
    print(as_text(changes))
    if not exported and any(change.verdict.kind == "not comparable" for change in changes):
        print(DUEL)
    if markdown:
        write_text(markdown, as_markdown((before, after), changes))
    return exit_status(deciding, undecided_fails=False)


def compare(
    before: Mapping[str, Record], after: Mapping[str, Record], other_machine: bool, limit: float
) -> list[Change]:
    """Compare the records of two sides (by their keys) for each record of the first side.

    If the workload or dataset differs, the rates are not comparable. Accuracies are then compared
    only if machine and images are the same. `other_machine`: whether two machines may be compared.
    """
    changes: list[Change] = []
    for name, old in before.items():
        new = after.get(name)
        networks = [record.network for record in after.values() if record.name == old.name]
        reason = (
            f"network {old.network}, then {' and '.join(networks)}"
            if networks and not new
            else not_comparable(old, new, other_machine)
        )
        if reason:
            changes.append(Change(name, "", Verdict("not comparable", limit), basis=reason))
        if new and not reason:
            changes += compare_records(old, new, limit)
        elif new and _images(old) == _images(new):
            changes += compare_accuracies(old, new, limit)
    return changes


def not_comparable(before: Record, after: Record | None, other_machine: bool) -> str | None:
    """Return why the rates of two records cannot be compared, or None if they can.

    Different code is not a reason. `after` is None if the second side has no record.
    """
    if after is None:
        return "not measured in the second"
    if before.machine != after.machine and not other_machine:
        devices = [f"{r.training.result.device} of {r.machine}" for r in (before, after)]
        return (
            f"other machine ({devices[0]}, then {devices[1]}): a change of the code shows on one "
            "machine only; to compare machines, name their exported results"
        )
    old, new = (
        {
            **record.throughput.workload.model_dump(exclude={"code"}),
            "dataset": _images(record)[1:],
        }
        for record in (before, after)
    )
    differing = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return f"other {', '.join(differing)}" if differing else None


def _images(record: Record) -> tuple[object, ...]:
    """Return machine, dataset and tested images; if they are equal, accuracies are comparable."""
    return record.machine, record.throughput.dataset, dataset_identity(record.training)

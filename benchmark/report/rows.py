"""Turns an entry of the comparison into cells, the same for every table of every form."""

from collections.abc import Sequence

from benchmark.common.numbers import duration, epochs
from benchmark.report import wording
from benchmark.report.comparison_schema import Comparison, Entry
from benchmark.report.schema import Absent

HEADINGS = {
    "accelerator": "Accelerator",
    "device": "Device",
    "network": "Network",
    "rate": "Images/s",
    "ratio": "Relative to {reference}",
    "best": "Images/s at best",
    "best_ratio": "At best, relative to {reference}",
    "accuracy": "Test accuracy",
    "control": "From random weights",
    "target": "To {target} validation accuracy",
    "time": "Training time",
    "cost": "Per million images",
}


def speeds(comparison: Comparison) -> tuple[str, ...]:
    """Return the columns of speed: those at best only if larger batches were looked for."""
    entries = [*comparison.present, *comparison.machines]
    curves = any(entry.throughput.curve for entry in entries)
    return ("rate", "ratio", *(("best", "best_ratio") if curves else ()))


def header(comparison: Comparison, columns: Sequence[str]) -> list[str]:
    """Return the headings of `columns`, which are keys of HEADINGS."""
    reference = comparison.reference or "another"
    target = wording.goal(comparison.target_accuracy)
    return [HEADINGS[name].format(reference=reference, target=target) for name in columns]


def cells(entry: Entry | Absent, columns: Sequence[str]) -> list[str]:
    """Return the cells of `columns`, which are keys of HEADINGS, for one entry.

    The second cell of an absent accelerator is the reason.
    """
    if isinstance(entry, Absent):
        return [entry.label, f"unavailable: {entry.reason}", *["-"] * (len(columns) - 2)]
    training, control = entry.training, entry.control
    words = {
        "accelerator": entry.label,
        "device": entry.device,
        "network": entry.network,
        "rate": wording.rate(entry.throughput),
        "ratio": wording.relative_speed(entry.relative_speed),
        "best": wording.best_rate(entry.throughput),
        "best_ratio": wording.relative_speed(entry.relative_best),
        "accuracy": wording.share(training.test_accuracy),
        "control": wording.share(control.test_accuracy) if control else "-",
        "target": wording.to_target(training),
        "time": f"{duration(training.seconds)}, {epochs(training.result.epochs)}",
        "cost": wording.costs(entry.cost)[1],
    }
    return [words[name] for name in columns]

"""The report stage: one page that compares what the other stages wrote."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmark import charts
from benchmark.errors import UserError
from benchmark.files import read_json, write_text
from benchmark.parameters import Parameters
from benchmark.results import DATASET, REPORTS, Results

COLUMNS = (
    "Accelerator", "Device", "Images/s (95 % interval)", "Test accuracy", "Top-5",
    "Val accuracy", "Epochs", "Training time", "Weights",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """The results of one accelerator, as its stages wrote them."""

    name: str
    training: dict[str, Any]
    timing: dict[str, Any]
    throughput: dict[str, Any]
    losses: list[float]

    @property
    def available(self) -> bool:
        """Whether the accelerator was there."""
        return bool(self.training["status"] == "ok")

    @property
    def label(self) -> str:
        """Its name in the report."""
        return str(self.training["accelerator"])

    @property
    def rate(self) -> dict[str, float]:
        """Images per second: median, low, high."""
        rate: dict[str, float] = self.throughput["modes"]["trainer"]["images_per_second"]
        return rate


def run(parameters: Parameters) -> None:
    """The stage: write reports/report.md and its charts.

    Raises:
        UserError: another stage has not run yet.
    """
    rows = [_read(name) for name in parameters.accelerators]
    present = [row for row in rows if row.available]
    charts.throughput(REPORTS / "throughput.svg", {row.label: row.rate for row in present})
    charts.losses(REPORTS / "loss.svg", {row.label: row.losses for row in present})
    write_text(REPORTS / "report.md", render(rows, _read_json(DATASET), parameters))


def render(rows: Sequence[Row], dataset: dict[str, Any], parameters: Parameters) -> str:
    """The page as Markdown."""
    present = [row for row in rows if row.available]
    images = ", ".join(f"{count:,} {split}" for split, count in dataset["images"].items())
    blocks = [
        "# Fine-tuning ResNet50, compared",
        f"**{_verdict(rows, present)}**",
        _table(COLUMNS, [_cells(row) for row in rows]),
        "![Training images per second](throughput.svg)",
        "![Training loss by step](loss.svg)",
        "## Did they see the same samples?",
        _evidence(present),
        "## What ran",
        f"- Dataset `{dataset['md5'][:12]}`: {dataset['classes']} classes, {images} images.\n"
        + _workload(parameters),
        "Throughput is the median over blocks of steps in one process, with the accelerator "
        "synchronised at both ends of each; the interval is for that median. Accuracy is that of "
        "the epoch with the lowest validation loss.",
    ]
    return "\n\n".join(blocks) + "\n"


def _read(name: str) -> Row:
    results = Results(name)
    return Row(
        name,
        _read_json(results.training),
        _read_json(results.timing),
        _read_json(results.throughput),
        _read_losses(results.steps),
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path} is not here.", "Run the stages before this one: dvc repro.")
    return read_json(path)


def _read_losses(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def _verdict(rows: Sequence[Row], present: Sequence[Row]) -> str:
    if not present:
        return "No accelerator of the list is on this machine, so nothing was measured."
    fastest = max(present, key=lambda row: row.rate["median"])
    absent = [row.label for row in rows if not row.available]
    speed = f"{fastest.label} trains {fastest.rate['median']:.0f} images/s"
    if len(present) > 1:
        speed = f"{speed}, the most of {len(present)} accelerators,"
    accuracy = f"{speed} and reaches {fastest.training['test']['accuracy']:.1%} test accuracy"
    return f"{accuracy}; {' and '.join(absent)} not measured." if absent else f"{accuracy}."


def _cells(row: Row) -> list[str]:
    if not row.available:
        return [row.label, f"unavailable: {row.training['reason']}", *["-"] * (len(COLUMNS) - 2)]
    training, rate = row.training, row.rate
    return [
        row.label,
        training["device"],
        f"{rate['median']:.1f} ({rate['low']:.1f} to {rate['high']:.1f})",
        f"{training['test']['accuracy']:.1%}",
        f"{training['test']['top5']:.1%}",
        f"{training['val']['accuracy']:.1%}",
        f"{training['epochs']} (best: {training['best_epoch'] + 1})",
        _duration(row.timing["total_seconds"]),
        f"`{training['digests']['weights'][:12]}`",
    ]


def _evidence(present: Sequence[Row]) -> str:
    if not present:
        return "Nothing ran."
    header = ("Accelerator", "Initial weights", "Sample order", "Pixels")
    table = _table(header, [_digests(row) for row in present])
    pairs = [_compare(a, b) for a, b in combinations(present, 2)]
    return "\n\n".join([table, "\n".join(pairs)]) if pairs else table


def _digests(row: Row) -> list[str]:
    digests = row.training["digests"]
    names = ("initial_weights", "order", "pixels")
    return [row.label, *(f"`{digests[name][:12]}`" for name in names)]


def _compare(a: Row, b: Row) -> str:
    """Compare over the epochs that both ran: early stopping may end one of them sooner."""
    one, other = a.training["digests"], b.training["digests"]
    shared = min(len(one["order_by_epoch"]), len(other["order_by_epoch"])) - 1
    same = {
        "initial weights": one["initial_weights"] == other["initial_weights"],
        "sample order": one["order_by_epoch"][shared] == other["order_by_epoch"][shared],
        "pixels": one["pixels"] == other["pixels"],
    }
    verdicts = (f"{name} {'equal' if equal else '**different**'}" for name, equal in same.items())
    return f"- {a.label} and {b.label}: {', '.join(verdicts)}."


def _workload(parameters: Parameters) -> str:
    data, model, train = parameters.data, parameters.model, parameters.train
    part = "head only" if model.freeze_backbone else "all layers"
    return (
        f"- ResNet50 from `{model.weights}` weights, {part}, Adam at {train.learning_rate:g}, "
        f"{data.image_size} px, batch size {data.batch_size}, {train.precision}, "
        f"{train.max_epochs} epochs at most, seed {parameters.seed}."
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")

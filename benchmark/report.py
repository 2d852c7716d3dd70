"""The report stage: one page that compares what the other stages wrote."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmark import charts, speed, transfer
from benchmark.files import write_text
from benchmark.markdown import duration, table
from benchmark.parameters import ModelParameters, Parameters, TrainParameters
from benchmark.results import DATASET, REPORTS, WEIGHTS, Results, read_result
from benchmark.transfer import Course

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
    pairs = _read_controls(parameters)
    present = [row for row in rows if row.available]
    charts.throughput(REPORTS / "throughput.svg", {row.label: row.rate for row in present})
    charts.losses(REPORTS / "loss.svg", {row.label: row.losses for row in present})
    courses = [course for pair in pairs for course in pair]
    charts.accuracies(REPORTS / "accuracy.svg", transfer.curves(courses))
    dataset, weights = read_result(DATASET), read_result(WEIGHTS)
    write_text(REPORTS / "report.md", render(rows, pairs, dataset, weights, parameters))


def render(
    rows: Sequence[Row],
    pairs: Sequence[tuple[Course, Course]],
    dataset: dict[str, Any],
    weights: dict[str, Any],
    parameters: Parameters,
) -> str:
    """The page as Markdown."""
    present = [row for row in rows if row.available]
    images = ", ".join(f"{count:,} {split}" for split, count in dataset["images"].items())
    blocks = [
        "# Fine-tuning ResNet50, compared",
        f"**{_verdict(rows, present, pairs)}**",
        table(COLUMNS, [_cells(row) for row in rows]),
        "![Training images per second](throughput.svg)",
        "![Training loss by step](loss.svg)",
        *speed.section([row.throughput for row in present]),
        *transfer.section(pairs, parameters.report.target_accuracy),
        "## Did they see the same samples?",
        _evidence(present),
        "## What ran",
        f"- Dataset `{dataset['md5'][:12]}`: {dataset['classes']} classes, {images} images.\n"
        + "\n".join([*_weights(weights), _workload(parameters)]),
        f"Throughput{_of_what(parameters.model)} is the median over "
        f"{parameters.throughput.repeats} processes; the accelerator is synchronised at both ends "
        "of every block of steps. Accuracy is that of the epoch with the lowest validation loss.",
    ]
    return "\n\n".join(blocks) + "\n"


def _read(name: str) -> Row:
    results = Results(name)
    return Row(
        name,
        read_result(results.training),
        read_result(results.timing),
        read_result(results.throughput),
        _read_losses(results.steps),
    )


def _read_controls(parameters: Parameters) -> list[tuple[Course, Course]]:
    """Each control with the training that it controls."""
    return [
        (
            transfer.read_course(Results(name), f"{parameters.model.weights} weights"),
            transfer.read_course(Results(name).control, "random weights (control)"),
        )
        for name in parameters.controls
    ]


def _read_losses(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def _verdict(
    rows: Sequence[Row], present: Sequence[Row], pairs: Sequence[tuple[Course, Course]]
) -> str:
    if not present:
        return "No accelerator of the list is on this machine, so nothing was measured."
    fastest = max(present, key=lambda row: row.rate["median"])
    absent = [row.label for row in rows if not row.available]
    speed = f"{fastest.label} trains {fastest.rate['median']:.0f} images/s"
    if len(present) > 1:
        speed = f"{speed}, the most of {len(present)} accelerators,"
    accuracy = f"{fastest.training['test']['accuracy']:.1%} test accuracy{_control(fastest, pairs)}"
    verdict = f"{speed} and reaches {accuracy}"
    return f"{verdict}; {' and '.join(absent)} not measured." if absent else f"{verdict}."


def _control(row: Row, pairs: Sequence[tuple[Course, Course]]) -> str:
    """What the row's control reached, if it has one."""
    for course, control in pairs:
        if course.training == row.training and control.available:
            return f" ({control.training['test']['accuracy']:.1%} from random weights)"
    return ""


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
        duration(row.timing["total_seconds"]),
        f"`{training['digests']['weights'][:12]}`",
    ]


def _evidence(present: Sequence[Row]) -> str:
    if not present:
        return "Nothing ran."
    header = ("Accelerator", "Initial weights", "Sample order", "Pixels")
    digests = table(header, [_digests(row) for row in present])
    pairs = [_compare(a, b) for a, b in combinations(present, 2)]
    return "\n\n".join([digests, "\n".join(pairs)]) if pairs else digests


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
    return (
        f"- ResNet50 from `{model.weights}` weights, {_protocol(model, train)}; "
        f"{data.image_size} px, batch size {data.batch_size}, {train.precision}, "
        f"{train.max_epochs} epochs at most, seed {parameters.seed}."
    )


def _protocol(model: ModelParameters, train: TrainParameters) -> str:
    rate = f"Adam at {train.learning_rate:g}"
    if model.freeze_backbone:
        return f"features of un-augmented images computed once, the head trained on them, {rate}"
    if train.unfreeze_epoch:
        return (
            f"the head alone for {train.unfreeze_epoch} epochs, then all layers, {rate} "
            f"and {train.backbone_learning_rate:g} for the backbone"
        )
    return f"all layers trained, {rate}"


def _of_what(model: ModelParameters) -> str:
    if model.freeze_backbone:
        return ", here that of the whole network and not of the head alone that was trained,"
    return ""


def _weights(weights: dict[str, Any]) -> list[str]:
    """The file that the weights came from, if they came from one, and what its card says."""
    if "sha256" not in weights:
        return []
    line = f"- Weights `{weights['weights']}`: file `{weights['sha256'][:12]}`"
    if "card" not in weights:
        return [f"{line}."]
    card = weights["card"]
    return [
        f"{line}, trained on {card['source']} ({card['images_seen']:,} images seen, "
        f"{card['source_test_accuracy']:.1%} of its own test images right)."
    ]

"""The report stage: what the other stages wrote, compared, as data, as Markdown and as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark import charts, comparison, page, pictures, record, summary
from benchmark.files import write_json, write_text
from benchmark.parameters import ModelParameters, Parameters, TrainParameters
from benchmark.record import Record, Training, read_training
from benchmark.results import DATASET, REPORTS, WEIGHTS, Results, read_result


def run(parameters: Parameters) -> None:
    """The stage: write comparison.json, report.md, report.html and the charts.

    Raises:
        UserError: another stage has not run yet, an image is missing, or a file of another
            machine's is no exported result.
    """
    own = [record.read(name, parameters.seeds) for name in parameters.accelerators]
    controls = {str(name): read_training(Results(name).control) for name in parameters.controls}
    others = record.read_others(next((r.machine for r in own if r.available), ""))
    dataset = read_result(DATASET)
    target = parameters.report.target_accuracy
    compared = comparison.build(own, others, controls, dataset, target)
    drawn = draw(own, controls, compared)
    said = facts(dataset, read_result(WEIGHTS), parameters)
    shown = next((pictures.sheets(parameters.data, r.name) for r in own if r.available), None)
    write_json(REPORTS / "comparison.json", compared)
    for name, chart in drawn.items():
        write_text(REPORTS / f"{name}.svg", chart)
    write_text(REPORTS / "report.md", summary.render(compared, said))
    write_text(REPORTS / "report.html", page.render(compared, said, drawn, shown))


def draw(
    own: Sequence[Record], controls: Mapping[str, Training], compared: Mapping[str, Any]
) -> dict[str, str]:
    """Every chart by name, as SVG."""
    present = [r for r in own if r.available]
    courses = {r.label: r.training for r in present} | {
        f"{r.label}, {comparison.CONTROL}": controls[r.name] for r in present if r.name in controls
    }
    swept = {e["label"]: sweep(e) for e in compared["accelerators"] if e["status"] == "ok"}
    return {
        "throughput": charts.throughput(comparison.rates(compared)),
        "loss": charts.losses({r.label: r.training.losses for r in present}),
        "accuracy": charts.accuracies(
            {label: (comparison.elapsed(t), t.accuracies) for label, t in courses.items()}
        ),
        "steps": charts.steps({r.label: r.throughput["trainer"]["step_seconds"] for r in present}),
        "sweep": charts.sweep(swept),
    }


def sweep(entry: Mapping[str, Any]) -> dict[str, list[tuple[int, dict[str, float]]]]:
    """Rates by batch size for each combination of what else was swept."""
    lines: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for point in entry["throughput"]["sweep"]:
        if point["status"] == "ok":
            others = {k: v for k, v in point.items() if k in charts.SWEPT}
            label = ", ".join(f"{name} {value}" for name, value in others.items())
            lines.setdefault(label, []).append((point["batch_size"], point["images_per_second"]))
    return lines


def facts(
    dataset: Mapping[str, Any], weights: Mapping[str, Any], parameters: Parameters
) -> list[str]:
    """What ran, a line each."""
    images = ", ".join(f"{count:,} {split}" for split, count in dataset["images"].items())
    measured = (
        f"Throughput{_of_what(parameters.model)} is the median over "
        f"{parameters.throughput.repeats} processes; the accelerator is synchronised at both ends "
        "of every block of steps."
    )
    return [
        f"Dataset `{dataset['md5'][:12]}`: {dataset['classes']} classes, {images} images.",
        *_weights(weights),
        _workload(parameters),
        measured,
    ]


def _workload(parameters: Parameters) -> str:
    data, model, train = parameters.data, parameters.model, parameters.train
    return (
        f"ResNet50 from `{model.weights}` weights, {_protocol(model, train)}; "
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


def _weights(weights: Mapping[str, Any]) -> list[str]:
    """The file that the weights came from, if they came from one, and what its card says."""
    if "sha256" not in weights:
        return []
    line = f"Weights `{weights['weights']}`: file `{weights['sha256'][:12]}`"
    if "card" not in weights:
        return [f"{line}."]
    card = weights["card"]
    return [
        f"{line}, trained on {card['source']} ({card['images_seen']:,} images seen, "
        f"{card['source_test_accuracy']:.1%} of its own test images right)."
    ]

"""The report stage: what the other stages wrote, compared, as data, as Markdown and as a page."""

from benchmark.common.files import write_csv, write_json, write_text
from benchmark.common.parameters import (
    ModelParameters,
    Parameters,
    ThroughputParameters,
    TrainParameters,
)
from benchmark.common.results import DATASET, REPORTS, WEIGHTS, ResultPaths, read_result
from benchmark.data.schema import DATASET_RESULT, WEIGHTS_RESULT, Dataset, Weights
from benchmark.report import (
    charts,
    comparison,
    markdown,
    page,
    pictures,
    record,
    sections,
    tables,
    terminal,
)
from benchmark.report.schema import Record, TrainingRecord


def run(parameters: Parameters) -> None:
    """The stage: write comparison.json, the tables, report.md, report.html and the charts.

    Raises:
        UserError: another stage has not run yet, an image is missing, or a file of another
            machine's is no exported result.
    """
    own = [record.of_machine(name, parameters) for name in parameters.accelerators]
    present = [each for each in own if isinstance(each, Record)]
    controls = _controls(parameters)
    others = record.read_others(present)
    dataset = read_result(DATASET, DATASET_RESULT)
    compared = comparison.build(own, others, controls, dataset, parameters.report)
    said = facts(dataset, read_result(WEIGHTS, WEIGHTS_RESULT), parameters)
    shown = pictures.sheets(parameters.data, present[0]) if present else None
    runs = charts.trainings(present, controls)
    drawn = charts.draw(present, runs, compared, shown.recalls if shown else [])
    view = sections.view(compared, said, shown)
    write_json(REPORTS / "comparison.json", compared.model_dump(mode="json"))
    write_json(REPORTS / "metrics.json", tables.metrics(compared))
    write_csv(REPORTS / "results.csv", tables.HEADER, tables.rows(compared))
    write_csv(REPORTS / "losses.csv", tables.LOSS_HEADER, tables.losses(runs))
    write_csv(REPORTS / "accuracies.csv", tables.ACCURACY_HEADER, tables.accuracies(runs))
    for name, chart in drawn.items():
        write_text(REPORTS / f"{name}.svg", chart)
    write_text(REPORTS / "report.md", markdown.render(view))
    write_text(REPORTS / "report.html", page.render(view, drawn))
    terminal.show(compared, str(REPORTS / "report.html"))


def _controls(parameters: Parameters) -> dict[str, TrainingRecord]:
    """The controls on accelerators that are there."""
    read = {
        str(name): record.read_training(ResultPaths(name).control) for name in parameters.controls
    }
    return {name: found for name, found in read.items() if isinstance(found, TrainingRecord)}


def facts(dataset: Dataset, weights: Weights, parameters: Parameters) -> list[str]:
    """What ran, a line each."""
    images = ", ".join(f"{count:,} {split}" for split, count in dataset.images.items())
    measured = (
        f"Throughput{_of_what(parameters.model)} is the geometric mean over "
        f"{parameters.throughput.repeats} processes or more, {_kernels(parameters.throughput)}; "
        "the accelerator is synchronised at both ends of every block of steps."
    )
    return [
        _workload(parameters),
        f"Dataset `{dataset.md5[:12]}`: {dataset.classes} classes, {images} images.",
        *_weights(weights),
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


def _kernels(throughput: ThroughputParameters) -> str:
    kinds = "deterministic kernels" if throughput.deterministic else "any kernels"
    return f"all modes with {kinds} unless their name says otherwise"


def _weights(weights: Weights) -> list[str]:
    """The file that the weights came from, if they came from one, and what its card says."""
    if weights.sha256 is None:
        return []
    line = f"Weights `{weights.weights}`: file `{weights.sha256[:12]}`"
    if weights.card is None:
        return [f"{line}."]
    return [
        f"{line}, trained on {weights.card['source']} ({weights.card['images_seen']:,} images "
        f"seen, {weights.card['source_test_accuracy']:.1%} of its own test images right)."
    ]

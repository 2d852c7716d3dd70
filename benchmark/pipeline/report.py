"""The report stage: compare the results of the other stages; write data, Markdown and a page."""

from benchmark.common.files import write_csv, write_json, write_text
from benchmark.common.numbers import epochs
from benchmark.common.parameters import ModelParameters, Parameters, TrainParameters
from benchmark.common.results import DATASET, REPORTS, WEIGHTS, ResultPaths, read_result
from benchmark.data.decoding import ValueRange
from benchmark.data.schema import DATASET_RESULT, WEIGHTS_RESULT, PinnedImages, Weights
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
    """Write comparison.json, the tables, report.md, report.html and the charts; print a summary.

    Raises:
        UserError: another stage has not run yet, an image is missing, or a file in
            reports/machines/ is not an exported result.
    """
    local = [record.read_local(name, parameters) for name in parameters.accelerators]
    present = [result for result in local if isinstance(result, Record)]
    controls = {
        str(name): training
        for name in parameters.controls
        if isinstance(training := record.read_training(ResultPaths(name).control), TrainingRecord)
    }
    exported = record.read_exported(present)
    dataset = read_result(DATASET, DATASET_RESULT)
    scale = dataset.value_range and ValueRange(*dataset.value_range)
    compared = comparison.build(local, exported, controls, dataset, parameters.report)
    lines = facts(dataset, read_result(WEIGHTS, WEIGHTS_RESULT), parameters)
    sheets = pictures.sheets(parameters.data, present[0], scale) if present else None
    runs = charts.training_curves(present, controls)
    drawings = charts.draw(present, runs, compared, sheets.recalls if sheets else [])
    document = sections.document(compared, lines, sheets)
    terminal.show(compared)  # first, since the files may not be writable
    write_json(REPORTS / "comparison.json", compared.model_dump(mode="json"))
    write_json(REPORTS / "metrics.json", tables.metrics(compared))
    write_csv(REPORTS / "results.csv", tables.HEADER, tables.results(compared))
    write_csv(REPORTS / "losses.csv", tables.LOSS_HEADER, tables.losses(runs))
    write_csv(REPORTS / "accuracies.csv", tables.ACCURACY_HEADER, tables.accuracies(runs))
    for name, drawing in drawings.items():
        write_text(REPORTS / f"{name}.svg", drawing)
    write_text(REPORTS / "report.md", markdown.render(document))
    write_text(REPORTS / "report.html", page.render(document, drawings))
    print(f"The complete report: {REPORTS / 'report.html'}")


def facts(dataset: PinnedImages, weights: Weights, parameters: Parameters) -> list[str]:
    """Return sentences about what ran, with `code` between backticks."""
    data, model, train = parameters.data, parameters.model, parameters.train
    images = ", ".join(f"{count:,} {split}" for split, count in dataset.images.items())
    network = " (of the complete network, not only of the trained head)"
    depth = (
        f" Those of more than 8 bits have values from {ValueRange(*dataset.value_range)}, on one "
        "scale for all."
        if dataset.value_range
        else ""
    )
    kernels = "deterministic" if parameters.throughput.deterministic else "any"
    file = f"Weights `{weights.weights}`: file `{(weights.sha256 or '')[:12]}`"
    if card := weights.card:
        file += (
            f", trained on {card['source']} ({card['images_seen']:,} images seen, "
            f"{card['source_test_accuracy']:.1%} of its test images correct)"
        )
    return [
        f"{model.architecture} from `{model.weights}` weights, {_protocol(model, train)}; "
        f"{data.image_size} px, batch size {data.batch_size}, {train.precision}, "
        f"{epochs(train.max_epochs)} at most, seed {parameters.seed}.",
        f"Dataset `{dataset.md5[:12]}`: {dataset.classes} classes, {images} images.{depth}",
        *([f"{file}."] if weights.sha256 else []),
        f"Throughput{network if model.freeze_backbone else ''} is the geometric mean over at least "
        f"{parameters.throughput.repeats} processes. All modes use {kernels} kernels unless their "
        "name says otherwise. The accelerator is synchronised at both ends of every block.",
    ]


def _protocol(model: ModelParameters, train: TrainParameters) -> str:
    """Return which layers are trained, and at which learning rate, in words."""
    rate = f"Adam at {train.learning_rate:g}"
    if model.freeze_backbone:
        return f"features of un-augmented images computed once, the head trained on them, {rate}"
    if train.unfreeze_epoch:
        return (
            f"the head alone for {epochs(train.unfreeze_epoch)}, then all layers, {rate} "
            f"and {train.backbone_learning_rate:g} for the backbone"
        )
    return f"all layers trained, {rate}"

"""Builds the report's sections, in the order of a reader's questions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmark.common import numbers
from benchmark.common.numbers import duration, percent
from benchmark.common.statistics import Interval
from benchmark.report import advice, rows, wording
from benchmark.report.charts import bars
from benchmark.report.comparison_schema import Comparison, Entry, TrainingEntry
from benchmark.report.document import (
    BulletList,
    ChartBlock,
    CodeSpan,
    Content,
    Document,
    DocumentSection,
    Prose,
    ShareBar,
    Table,
)
from benchmark.report.entries import trainings
from benchmark.report.glossary import FIGURES, WORDS
from benchmark.report.pictures import Sheets
from benchmark.report.record import Recall
from benchmark.report.wording import goal, share, to_target

WORST = 8
"""Largest number of classes in the table of the lowest recalls."""


def document(comparison: Comparison, facts: Sequence[str], sheets: Sheets | None) -> Document:
    """Return the complete report.

    Args:
        comparison: the records, compared.
        facts: lines about what ran, the most important first; `code` is between backticks.
        sheets: pictures of the test split; None where nothing ran.
    """
    target = goal(comparison.target_accuracy)
    local: list[tuple[str, str, Iterable[Content]]] = [
        ("race", f"How soon does it reach {target}?", _race(comparison)),
        ("cost", "What does it cost?", _cost(comparison)),
        ("sure", "How sure is the speed?", _sure(comparison)),
        ("limits", "What limits the speed?", _limits(comparison)),
        ("peers", "Is it faster than other software?", _peers(comparison)),
        ("best", "How fast is it at its best batch size?", _at_best(comparison)),
        ("settings", "Would other settings be faster?", _settings(comparison)),
        ("accuracy", "How good is the result?", _accuracy(comparison)),
        ("classes", "Which classes fail?", _classes(sheets)),
        ("same", "Is it the same result, and can it be repeated?", _same(comparison)),
    ]
    steps = BulletList([("", step) for step in advice.steps(comparison)])
    terms = [(word[0].upper() + word[1:], Prose(meaning)) for word, meaning in FIGURES + WORDS]
    every: list[tuple[str, str, Iterable[Content]]] = [
        ("machines", "How do all machines compare?", _machines(comparison)),
        ("next", "What next?", [steps]),
        ("what", "What was compared?", [_what(comparison, facts)]),
    ]
    contents = (
        [*local, *every, ("words", "Glossary", [BulletList(terms)])]
        if comparison.present
        else every
    )
    sections = [DocumentSection(key, heading, [*content]) for key, heading, content in contents]
    return Document(
        title=f"Fine-tuning {' and '.join(comparison.networks) or 'networks'}, compared",
        verdict=comparison.summary,
        flags=comparison.flags,
        answer=[*_answer(comparison, facts)],
        sections=[section for section in sections if section.content],
    )


def _answer(comparison: Comparison, facts: Sequence[str]) -> Iterator[Content]:
    yield from map(Prose, facts[:1])
    speeds = rows.speeds(comparison)
    columns = ("accelerator", "device", *speeds, "accuracy", "target", "time")
    at_best = " At best: at the fastest batch size." if "best" in speeds else ""
    yield Table(
        "Accelerators",
        rows.header(comparison, columns),
        [rows.cells(entry, columns) for entry in comparison.accelerators],
        caption="Images/s: training images per second, without validation, checkpoints and test."
        f"{at_best} Brackets: 95% confidence intervals.",
    )
    if entries := bars(comparison):
        caption = "Training images per second, with 95% confidence intervals"
        if len(entries) > 1:
            caption += f"; in brackets: times the rate of {comparison.reference}"
        rates = {name: entry.throughput.images_per_second for name, entry in entries.items()}
        words = "; ".join(f"{name} {numbers.brief(rate)}" for name, rate in rates.items())
        yield ChartBlock("throughput", f"{caption}.", f"Bars of images per second: {words}.")


def _race(comparison: Comparison) -> Iterator[Content]:
    runs = _runs(comparison)
    target = goal(comparison.target_accuracy)
    best = (
        f"{name} {percent(run.result.val.accuracy)} of {duration(run.seconds)}"
        for name, run in runs.items()
    )
    yield ChartBlock(
        "accuracy",
        f"Validation accuracy after each epoch against the time of training. Dotted: {target}.",
        f"Validation accuracy against time; of the best epoch: {'; '.join(best)}.",
    )
    yield Table(
        "Time to the target",
        ("Run", f"To {target} validation accuracy", "Complete training", "Epochs"),
        [
            [name, to_target(run), duration(run.seconds), f"{run.result.epochs}"]
            for name, run in runs.items()
        ],
        caption=Prose(
            f"To {target}: to the end of the first epoch that reaches it "
            "(`report.target_accuracy`). Times begin with the first epoch, when the process has "
            "started, and include validation and checkpoints. The time of the complete training "
            "also includes the test."
        ),
    )


def _cost(comparison: Comparison) -> Iterator[Content]:
    present = comparison.present
    priced = any(entry.cost for entry in present)
    if not priced:
        yield Prose(wording.NO_PRICE)
    target = goal(comparison.target_accuracy)
    names = ("Price", "Per million images", "This training", f"To {target}") if priced else ()
    cells = [
        [
            entry.label,
            *(wording.costs(entry.cost) if priced else ()),
            wording.energy_per_image(entry.throughput.efficiency.energy),
        ]
        for entry in present
    ]
    header = ("Accelerator", *names, "Energy per image")
    yield Table("Cost", header, cells, caption=wording.COSTS if priced else "")


def _sure(comparison: Comparison) -> Iterator[Content]:
    present = comparison.present
    yield BulletList([(entry.label, wording.sureness(entry)) for entry in present])
    header = (
        "Accelerator", "Images/s", "Undisturbed images/s", "Trainer / Trainer (noise floor)",
        "Date",
    )  # fmt: skip
    cells = [
        [
            entry.label,
            numbers.interval(entry.throughput.images_per_second),
            numbers.interval(entry.throughput.trainer.undisturbed_images_per_second),
            numbers.interval(entry.throughput.noise_floor),
            entry.throughput.date,
        ]
        for entry in present
    ]
    yield Table("Speed", header, cells)
    yield wording.INTERVALS


def _limits(comparison: Comparison) -> Iterator[Content]:
    measured = {entry.label: entry.throughput for entry in comparison.present}
    trainers = {label: throughput.trainer for label, throughput in measured.items()}
    shares = [(label, times.step_shares) for label, times in trainers.items() if times.step_shares]
    if shares:
        yield BulletList([(label, wording.limit(steps)) for label, steps in shares])
        yield from (ShareBar(label, steps) for label, steps in shares)
    yield from _ratios({label: throughput.ratios for label, throughput in measured.items()})
    header = (
        "Accelerator", "Utilisation", "Of the vendor's peak", "Peak memory", "Time to first step",
        "Lightning's overhead", "Decoding images/s",
    )  # fmt: skip
    cells = [[label, *wording.efficiency(throughput)] for label, throughput in measured.items()]
    yield Table("Efficiency", header, cells, caption=wording.EFFICIENCY)
    percentiles = {label: times.step_seconds for label, times in trainers.items()}
    if any(percentiles.values()):
        steps = (
            f"{label} {duration(p['p50'])}, nine of ten from {duration(p['p5'])} to "
            f"{duration(p['p95'])}"
            for label, p in percentiles.items()
            if p
        )
        yield ChartBlock(
            "steps",
            "Times of single training steps: median, quartiles, 5th and 95th percentile.",
            f"Times of single training steps: {'; '.join(steps)}.",
        )


def _ratios(measured: Mapping[str, Mapping[str, Interval]]) -> Iterator[Content]:
    """Yield a table with a row for each measured ratio and a column for each accelerator."""
    cells = [
        [question, wording.RATIOS[name], *(wording.ratio(r.get(name)) for r in measured.values())]
        for name, question in wording.QUESTIONS.items()
        if any(name in ratios for ratios in measured.values())
    ]
    if cells:
        header = ("Question", "Ratio of images/s", *measured)
        yield Table("Ratios of speeds", header, cells, caption=wording.ALTERNATED, heads=2)


def _peers(comparison: Comparison) -> Iterator[Content]:
    cells = [
        [
            entry.label,
            name,
            ", ".join(f"{package} {version}" for package, version in peer.versions.items()) or "-",
            peer.reason or wording.ratio(entry.throughput.ratios.get(f"trainer_over_{name}")),
        ]
        for entry in comparison.present
        for name, peer in entry.throughput.peers.items()
    ]
    if cells:
        header = ("Accelerator", "Peer", "Versions", "Trainer / peer, images/s")
        yield Table("Peers", header, cells, caption=wording.PEERS_CAPTION, heads=2)


def _at_best(comparison: Comparison) -> Iterator[Content]:
    measured = {entry.label: entry.throughput for entry in comparison.present}
    notes = [(label, wording.batch_curve(t.curve, t)) for label, t in measured.items() if t.curve]
    if not notes:
        return
    yield BulletList(notes)
    courses = (
        f"{label} from {numbers.number(t.images_per_second.estimate)} at {t.workload.batch_size:,} "
        f"to {numbers.number(t.curve.points[-1].images_per_second)} at "
        f"{t.curve.points[-1].batch_size:,}"
        for label, t in measured.items()
        if t.curve and t.curve.points
    )
    yield ChartBlock(
        "curve",
        "Training images per second against the batch size; both scales are logarithmic. A square: "
        "with its 95% confidence interval. A dot: from one pair of processes. A cross: out of "
        "memory.",
        f"Training images per second against the batch size: {'; '.join(courses)}.",
    )
    yield wording.CURVE


def _settings(comparison: Comparison) -> Iterator[Content]:
    points = [(entry, point) for entry in comparison.present for point in entry.throughput.sweep]
    if not points:
        return
    devices = [point.devices for _, point in points]
    if min(devices) == 1:
        yield ChartBlock(
            "sweep",
            "Training images per second against the batch size. A cross: out of memory.",
            "Training images per second against the batch size, as in the table below.",
        )
    if max(devices) > 1:
        yield ChartBlock(
            "scaling",
            "Training images per second of all devices together, against their number. Dotted: "
            "this number times the rate of the run's own settings. A cross: out of memory.",
            "Training images per second against the number of devices, as in the table below.",
        )
    cells = [
        [entry.label, wording.changes(point), *wording.outcome(point, entry.name)]
        for entry, point in points
    ]
    yield Table(
        "Settings",
        ("Accelerator", "Settings", "Images/s", "Relative to the run's own settings"),
        cells,
        caption="Each setting alternated with the run's own settings, block by block.",
        heads=2,
    )


def _accuracy(comparison: Comparison) -> Iterator[Content]:
    present = comparison.present
    training = present[0].training
    yield Table(
        "Accuracy",
        ("Run", "Test accuracy", "Mean over classes", "Top-5", "Best epoch"),
        [
            [
                name,
                share(run.test_accuracy),
                percent(run.balanced_accuracy),
                percent(run.result.test.top5),
                f"{run.result.best_epoch} of {run.result.epochs}",
            ]
            for name, run in _runs(comparison).items()
        ],
        caption="Accuracy is that of the epoch with the lowest validation loss, on "
        f"{training.test_images:,} test images. Always predicting the most frequent class gives "
        f"{percent(training.commonest_class)}.",
    )
    target = goal(comparison.target_accuracy)
    if notes := [(e.label, words) for e in present for words in _control_and_seeds(e, target)]:
        yield BulletList(notes)
    courses = (wording.course(entry.label, entry.training) for entry in present)
    yield ChartBlock(
        "loss",
        "Training loss by step. Thin: raw. Thick: smoothed."
        + (f" Below: difference of each to {present[0].label}." if len(present) > 1 else ""),
        f"Training loss by step: {'; '.join(courses)}.",
    )


def _control_and_seeds(entry: Entry, target: str) -> Iterator[str]:
    """Yield the gain in accuracy over the control, and the accuracy over all seeds, in words."""
    if entry.control:
        gain = entry.training.test_accuracy.estimate - entry.control.test_accuracy.estimate
        inputs = ", ".join(
            f"{name} {'equal' if equal else 'different'}"
            for name, equal in entry.control.equal_inputs.in_words().items()
        )
        yield f"{100 * gain:+.1f} points against its control ({inputs})."
    if seeds := entry.seeds:
        count = len(seeds.runs)
        yield (
            f"over {count} seeds, mean test accuracy {share(seeds.mean)}, all on the same test "
            f"images. The standard deviation is {100 * seeds.std:.1f} points. "
            f"{seeds.reached} of {count} runs reached {target}."
        )


def _classes(sheets: Sheets | None) -> Iterator[Content]:
    if not sheets or not sheets.recalls:
        return
    worst, best = sheets.recalls[0], sheets.recalls[-1]
    first, last = (f"{right} of {images} ({name})" for name, right, images in (worst, best))
    yield ChartBlock(
        "classes",
        f"Recall of each class on {sheets.label}: the share of its test images that were "
        "classified correctly.",
        f"Recall of each class, from {first} to {last}.",
    )
    failing = [recall for recall in sheets.recalls if recall[1] < recall[2]]
    if failing:
        lowest = _lowest(failing)
        yield Table(
            "Classes",
            ("Class", "Correct", "Recall"),
            [
                [n, f"{right} of {images}", percent(right / images, 0)]
                for n, right, images in lowest
            ],
            caption=f"The {len(lowest)} classes of lowest recall on {sheets.label}, of "
            f"{len(failing)} with a mistake. The recall of a class with few images says little.",
        )
    yield sheets


def _lowest(failing: Sequence[Recall]) -> Sequence[Recall]:
    """Return at most WORST classes; classes with equal recall are not separated, if possible."""
    if len(failing) <= WORST:
        return failing
    _, right, images = failing[WORST]
    return [r for r in failing if r[1] / r[2] < right / images] or failing[:WORST]


def _same(comparison: Comparison) -> Iterator[Content]:
    pairs = comparison.local_pairs
    yield BulletList(
        [(name, f"{wording.replayed(run)}.") for name, run in _runs(comparison).items()]
        + [(f"{pair.one} and {pair.other}", f"{pair.claim}.") for pair in pairs]
    )
    if pairs:
        yield wording.PAIRS
    digests = [(entry.label, entry.training.result.digests) for entry in comparison.present]
    yield Table(
        "Digests",
        ("Accelerator", "Initial weights", "Sample order", "First pixels", "Final weights"),
        [
            [label, *(CodeSpan(x[:12]) for x in (d.initial_weights, d.order, d.pixels, d.weights))]
            for label, d in digests
        ],
        caption=wording.DIGESTS,
    )


def _machines(comparison: Comparison) -> Iterator[Content]:
    if not comparison.machines:
        return
    local = [(entry, "this one", "-") for entry in comparison.present]
    results = wording.results(comparison)
    exported = [
        (entry, CodeSpan(entry.machine), result)
        for entry, result in zip(comparison.machines, results, strict=True)
    ]
    entries = sorted(
        [*local, *exported], key=lambda e: e[0].throughput.images_per_second.estimate, reverse=True
    )
    network = ("network",) if len(comparison.networks) > 1 else ()
    names, figures = (
        ("device", "accelerator", *network),
        (*rows.speeds(comparison), "accuracy", "target", "cost"),
    )
    yield Table(
        "Machines",
        [*rows.header(comparison, names), "Machine", *rows.header(comparison, figures), "Result"],
        [
            [*rows.cells(entry, names), machine, *rows.cells(entry, figures), result]
            for entry, machine, result in entries
        ],
        caption=wording.MACHINES,
        heads=2,
    )
    if counts := wording.other_pairs(comparison):
        yield counts


def _what(comparison: Comparison, facts: Sequence[str]) -> Content:
    lines: list[str] = [Prose(fact) for fact in facts]
    lines += [wording.process_settings(e.label, e.throughput.runtime) for e in comparison.present]
    for entry in comparison.present[:1]:
        versions = ", ".join(f"{name} {version}" for name, version in entry.software.items())
        lines.append(f"Software: {versions}.")
    return BulletList([("", line) for line in lines])


def _runs(comparison: Comparison) -> dict[str, TrainingEntry]:
    """Return every training on this machine, by name."""
    return {
        name: run
        for entry in comparison.present
        for name, run in trainings(entry.label, entry).items()
    }

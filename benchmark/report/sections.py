"""What each section of the report says, in the order in which readers ask."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmark.common import numbers
from benchmark.common.numbers import duration
from benchmark.report import advice, wording
from benchmark.report.charts import bars
from benchmark.report.entries import trainings
from benchmark.report.pictures import Sheets
from benchmark.report.schema import Absent, Comparison, Entry, TrainingEntry
from benchmark.report.view import (
    Block,
    Chart,
    Code,
    Lines,
    Marked,
    Paragraph,
    Pictures,
    Section,
    Shares,
    Table,
    Terms,
    View,
)
from benchmark.report.wording import goal, share, to_target

Recall = tuple[str, int, int]
"""A class, how many of its test images were found, and how many there are."""
TITLE = "Fine-tuning ResNet50, compared"
WORST = 8
"""Classes in the table of those that fail most."""


def view(comparison: Comparison, facts: Sequence[str], sheets: Sheets | None) -> View:
    """The whole report.

    Args:
        comparison: as comparison.build makes it.
        facts: lines about what ran, the most important first; `code` stands between backticks.
        sheets: pictures of the test split; None where nothing ran.
    """
    asked: list[tuple[str, str, Callable[[Comparison], Iterable[Block]]]] = [
        ("race", f"How soon does it reach {goal(comparison.target_accuracy)}?", _race),
        ("cost", "What does it cost?", _cost),
        ("sure", "How sure is the speed?", _sure),
        ("limits", "What limits the speed?", _limits),
        ("peers", "Is it faster than other software?", _peers),
        ("settings", "Would other settings be faster?", _settings),
        ("accuracy", "How good is the result?", _accuracy),
        ("classes", "Which classes fail?", lambda _: _classes(sheets)),
        ("same", "Is it the same result, and can it be repeated?", _same),
        ("machines", "How do all machines compare?", _machines),
        ("next", "What next?", lambda found: [Lines([("", each) for each in advice.steps(found)])]),
        ("what", "What was compared?", lambda found: _what(found, facts)),
        ("words", "Glossary", lambda found: [_words()] if found.present else []),
    ]
    sections = [Section(key, heading, [*say(comparison)]) for key, heading, say in asked]
    return View(
        title=TITLE,
        verdict=comparison.summary,
        flags=comparison.flags,
        answer=[*_answer(comparison, facts)],
        sections=[section for section in sections if section.blocks],
    )


def _answer(comparison: Comparison, facts: Sequence[str]) -> Iterator[Block]:
    yield from (Paragraph(Marked(fact)) for fact in facts[:1])
    yield Table(
        "Accelerators",
        (
            "Accelerator", "Device", "Images/s", f"Relative to {comparison.reference or 'another'}",
            "Test accuracy", f"To {goal(comparison.target_accuracy)} validation accuracy",
            "Training time",
        ),
        [_line(entry) for entry in comparison.accelerators],
        caption="Images/s: training images per second, without validation, checkpoints and test. "
        "Brackets: 95% confidence intervals.",
    )  # fmt: skip
    if shown := bars(comparison):
        caption = "Training images per second, with 95% confidence intervals"
        if len(shown) > 1:
            caption += f"; in brackets: times the rate of {comparison.reference}"
        rates = {n: entry.rate for n, entry in shown.items()}
        said = (f"{name} {numbers.estimate(rate)}" for name, rate in rates.items())
        yield Chart("throughput", f"{caption}.", f"Bars of images per second: {'; '.join(said)}.")


def _line(entry: Entry | Absent) -> list[str]:
    if isinstance(entry, Absent):
        return [entry.label, f"unavailable: {entry.reason}", *["-"] * 5]
    return [
        entry.label,
        entry.device,
        wording.speed(entry.throughput),
        wording.against(entry.throughput),
        share(entry.training.test_accuracy),
        to_target(entry.training),
        duration(entry.training.seconds),
    ]


def _race(comparison: Comparison) -> Iterator[Block]:
    runs = _runs(comparison.present)
    if not runs:
        return
    target = goal(comparison.target_accuracy)
    best = (f"{n} {run.val_accuracy:.1%} of {duration(run.seconds)}" for n, run in runs.items())
    yield Chart(
        "accuracy",
        f"Validation accuracy after each epoch against the time of training. Dotted: {target}.",
        f"Validation accuracy against time; of the best epoch: {'; '.join(best)}.",
    )
    yield Table(
        "Time to the target",
        ("Run", f"To {target} validation accuracy", "Whole training", "Epochs"),
        [[n, to_target(r), duration(r.seconds), f"{r.epochs}"] for n, r in runs.items()],
        caption=Marked(
            f"To {target}: to the end of the first epoch that reaches it "
            "(`report.target_accuracy`). Times begin with the first epoch, when the process has "
            "started, and include validation and checkpoints; that of the whole training also "
            "includes the test."
        ),
    )


def _cost(comparison: Comparison) -> Iterator[Block]:
    present = comparison.present
    if not present:
        return
    priced = any(entry.cost for entry in present)
    if not priced:
        yield Paragraph(Marked(wording.NO_PRICE))
    target = goal(comparison.target_accuracy)
    names = ("Price", "Per million images", "This training", f"To {target}") if priced else ()
    rows = [
        [e.label, *(wording.costs(e.cost) if priced else ()), wording.energy(e.energy)]
        for e in present
    ]
    header = ("Accelerator", *names, "Energy per image")
    yield Table("Cost", header, rows, caption=wording.COSTS if priced else "")


def _sure(comparison: Comparison) -> Iterator[Block]:
    present = comparison.present
    if not present:
        return
    yield Lines([(entry.label, wording.sureness(entry.throughput)) for entry in present])
    yield Table(
        "Speed",
        (
            "Accelerator",
            "Images/s",
            "Undisturbed images/s",
            "Trainer / Trainer (noise floor)",
            "Date",
        ),
        [_speed(entry) for entry in present],
    )
    yield Paragraph(wording.INTERVALS)


def _speed(entry: Entry) -> list[str]:
    found = entry.throughput
    return [
        entry.label,
        numbers.interval(found.images_per_second),
        numbers.interval(found.undisturbed_images_per_second),
        numbers.interval(found.noise_floor),
        found.date,
    ]


def _limits(comparison: Comparison) -> Iterator[Block]:
    present = comparison.present
    if not present:
        return
    shares = [(e.label, e.throughput.step_shares) for e in present if e.throughput.step_shares]
    if shares:
        yield Lines([(label, wording.limit(found)) for label, found in shares])
        yield Shares(shares)
    yield from _ratios(present)
    yield Table(
        "Efficiency",
        (
            "Accelerator", "Utilisation", "Of the vendor's peak", "Peak memory",
            "Time to first step", "Lightning's overhead", "Decoding images/s",
        ),
        [_efficiency(entry) for entry in present],
        caption=wording.EFFICIENCY,
    )  # fmt: skip
    known = {entry.label: entry.throughput.step_seconds for entry in present}
    if any(known.values()):
        said = (wording.steps(label, found) for label, found in known.items())
        yield Chart(
            "steps",
            "Times of single training steps: median, quartiles, 5th and 95th percentile.",
            f"Times of single training steps: {'; '.join(said)}.",
        )


def _ratios(present: Sequence[Entry]) -> Iterator[Block]:
    """A line for each ratio that some accelerator has, a column for each accelerator."""
    measured = [entry.throughput.ratios for entry in present]
    rows = [
        [question, wording.RATIOS[name], *(wording.ratio(ratios.get(name)) for ratios in measured)]
        for name, question in wording.QUESTIONS.items()
        if any(name in ratios for ratios in measured)
    ]
    if rows:
        header = ("Question", "Ratio of images/s", *(entry.label for entry in present))
        yield Table("Ratios of speeds", header, rows, caption=wording.TURNS, heads=2)


def _efficiency(entry: Entry) -> list[str]:
    found = entry.throughput
    return [
        entry.label,
        share(entry.utilisation),
        share(entry.vendor_utilisation),
        wording.memory(entry.peak_memory),
        wording.first_step(found),
        wording.milliseconds(found.overhead),
        wording.decoding(found.decoding),
    ]


def _peers(comparison: Comparison) -> Iterator[Block]:
    rows = [row for entry in comparison.present for row in wording.peers(entry)]
    if rows:
        header = ("Accelerator", "Peer", "Versions", "Trainer / peer, images/s")
        yield Table("Peers", header, rows, caption=wording.OTHERS, heads=2)


def _settings(comparison: Comparison) -> Iterator[Block]:
    rows = [*wording.swept(comparison.present)]
    if not rows:
        return
    devices = [p.devices for entry in comparison.present for p in entry.throughput.sweep]
    if min(devices) == 1:
        yield Chart(
            "sweep",
            "Training images per second against the batch size. A cross: out of memory.",
            "Training images per second against the batch size, as in the table below.",
        )
    if max(devices) > 1:
        yield Chart(
            "scaling",
            "Training images per second of all devices together, against their number. Dotted: so "
            "many times the run's own rate. A cross: out of memory.",
            "Training images per second against the number of devices, as in the table below.",
        )
    yield Table(
        "Settings",
        ("Accelerator", "Settings", "Images/s", "Relative to the run's own settings"),
        rows,
        caption="Each setting and the run's own took turns, block by block.",
        heads=2,
    )


def _accuracy(comparison: Comparison) -> Iterator[Block]:
    present = comparison.present
    if not present:
        return
    yield Table(
        "Accuracy",
        ("Run", "Test accuracy", "Mean over classes", "Top-5", "Best epoch"),
        [_scores(name, run) for name, run in _runs(present).items()],
        caption=wording.commonest(present[0].training),
    )
    if said := [line for entry in present for line in wording.gains(entry)]:
        yield Lines(said)
    if said := [(e.label, wording.seeds(e.seeds, comparison)) for e in present if e.seeds]:
        yield Lines(said)
    courses = (wording.course(entry.label, entry.training) for entry in present)
    yield Chart(
        "loss",
        "Training loss by step. Thin: raw. Thick: smoothed."
        + (f" Below: how far each is from {present[0].label}." if len(present) > 1 else ""),
        f"Training loss by step: {'; '.join(courses)}.",
    )


def _scores(name: str, run: TrainingEntry) -> list[str]:
    return [
        name,
        share(run.test_accuracy),
        f"{run.balanced_accuracy:.1%}",
        f"{run.test_top5:.1%}",
        f"{run.best_epoch} of {run.epochs}",
    ]


def _classes(sheets: Sheets | None) -> Iterator[Block]:
    if not sheets or not sheets.recalls:
        return
    (worst, *_), (best, *_) = sheets.recalls[:1], sheets.recalls[-1:]
    yield Chart(
        "classes",
        f"Recall of each class on {sheets.label}: the part of its test images whose class was "
        "found.",
        f"Recall of each class, from {wording.recall(*worst)} to {wording.recall(*best)}.",
    )
    failing = [recall for recall in sheets.recalls if recall[1] < recall[2]]
    if failing:
        shown = _lowest(failing)
        yield Table(
            "Classes",
            ("Class", "Found", "Recall"),
            [[n, f"{right} of {of}", f"{right / of:.0%}"] for n, right, of in shown],
            caption=f"The {len(shown)} classes of lowest recall on {sheets.label}, of "
            f"{len(failing)} with a mistake. Few images of a class tell little about it.",
        )
    yield Pictures(sheets)


def _lowest(failing: Sequence[Recall]) -> Sequence[Recall]:
    """At most WORST, if that tears no equal ones apart."""
    if len(failing) <= WORST:
        return failing
    _, right, of = failing[WORST]
    return [recall for recall in failing if recall[1] / recall[2] < right / of] or failing[:WORST]


def _same(comparison: Comparison) -> Iterator[Block]:
    present, pairs = comparison.present, wording.here(comparison)
    if not present:
        return
    yield Lines(
        [(n, f"{wording.replayed(run)}.") for n, run in _runs(present).items()]
        + [(f"{pair.one} and {pair.other}", f"{pair.claim}.") for pair in pairs]
    )
    if pairs:
        yield Paragraph(wording.PAIRS)
    yield Table(
        "Digests",
        ("Accelerator", "Initial weights", "Sample order", "First pixels", "Final weights"),
        [_digests(entry) for entry in present],
        caption=wording.DIGESTS,
    )


def _digests(entry: Entry) -> list[str]:
    found = entry.digests
    digests = (found.initial_weights, found.order, found.pixels, found.weights)
    return [entry.label, *(Code(digest[:12]) for digest in digests)]


def _machines(comparison: Comparison) -> Iterator[Block]:
    """All accelerators of all machines, the fastest first."""
    if not comparison.machines:
        return
    results = [*("-" for _ in comparison.present), *wording.results(comparison)]
    entries = [*comparison.present, *comparison.machines]
    fastest = sorted(
        zip(entries, results, strict=True),
        key=lambda found: found[0].rate.estimate,
        reverse=True,
    )
    header = (
        "Device", "Accelerator", "Machine", "Images/s", f"Relative to {comparison.reference}",
        "Test accuracy", f"To {goal(comparison.target_accuracy)} validation accuracy",
        "Per million images", "Result",
    )  # fmt: skip
    rows = [_machine(entry, entry in comparison.present, said) for entry, said in fastest]
    yield Table("Machines", header, rows, caption=wording.MACHINES, heads=2)
    if said := wording.elsewhere(comparison):
        yield Paragraph(said)


def _machine(entry: Entry, here: bool, result: str) -> list[str]:
    return [
        entry.device,
        entry.label,
        "this one" if here else Code(entry.machine),
        wording.speed(entry.throughput),
        wording.against(entry.throughput),
        share(entry.training.test_accuracy),
        to_target(entry.training),
        wording.costs(entry.cost)[1],
        result,
    ]


def _what(comparison: Comparison, facts: Sequence[str]) -> Iterator[Block]:
    lines: list[tuple[str, str]] = [("", Marked(fact)) for fact in facts]
    for entry in comparison.present:
        lines.append(("", wording.runtime(entry.label, entry.throughput.runtime)))
    for entry in comparison.present[:1]:
        versions = ", ".join(f"{name} {version}" for name, version in entry.software.items())
        lines.append(("", f"Software: {versions}."))
    yield Lines(lines)


def _words() -> Block:
    return Terms([(term, Marked(meaning)) for term, meaning in wording.TERMS])


def _runs(present: Sequence[Entry]) -> dict[str, TrainingEntry]:
    """Everything that was trained, by name."""
    return {n: run for entry in present for n, run in trainings(entry.label, entry).items()}

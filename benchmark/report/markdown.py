"""The comparison as Markdown: reports/report.md, for a pull request or a terminal."""

from collections.abc import Iterable, Sequence

from benchmark.common.formatting import literal, plain, table
from benchmark.common.numbers import duration
from benchmark.report.entries import CONTROL, trainings
from benchmark.report.schema import Absent, Comparison, Entry, TrainingEntry
from benchmark.report.wording import (
    INTERVALS,
    PAIRS,
    RATIOS,
    against,
    commonest,
    cost,
    decoding,
    elsewhere,
    energy,
    first_step,
    goal,
    here,
    memory,
    milliseconds,
    rate,
    ratio,
    replayed,
    results,
    share,
    speed,
    sureness,
    swept,
    to_target,
    training_cost,
)

COLUMNS = (
    "Accelerator", "Device", "Images/s", "Against {reference}", "Test accuracy",
    "To {goal} validation accuracy", "Epochs", "Training time", "Weights",
)  # fmt: skip
EFFICIENCY_COLUMNS = (
    "Accelerator", "Compute", "Input", "Lightning", "Utilisation", "Peak memory", "Energy",
    "Cost of a million images", "Cost of the training",
)  # fmt: skip
SWEEP_COLUMNS = ("Accelerator", "Point of the sweep", "Images/s", "Against the run's own")
START_COLUMNS = (
    "Accelerator", "Undisturbed images/s", "First step after", "Lightning's overhead",
    "Decoding images/s",
)  # fmt: skip


def render(comparison: Comparison, facts: Sequence[str]) -> str:
    """The page.

    Args:
        comparison: as comparison.build makes it.
        facts: lines about what ran.
    """
    present = comparison.present
    blocks = [
        "# Fine-tuning ResNet50, compared",
        f"**{comparison.summary}**",
        *(f"> {plain(literal(flag))}" for flag in comparison.flags),
        accelerators(comparison),
        INTERVALS,
        "![Training images per second](throughput.svg)",
        "![Training loss by step](loss.svg)",
        "![Validation accuracy against training time](accuracy.svg)",
        *_speed(present),
        *_transfer(present, comparison.target_accuracy),
        *_seeds(present, comparison.target_accuracy),
        *_results(comparison),
        *_machines(comparison),
        "## What ran",
        "\n".join(f"- {plain(fact)}" for fact in facts),
        f"Accuracy is that of the epoch with the lowest validation loss.{commonest(comparison)}",
    ]
    return "\n\n".join(blocks) + "\n"


def accelerators(comparison: Comparison) -> str:
    """A line for each, with its figures or why there are none."""
    named = {
        "reference": literal(comparison.reference or "another"),
        "goal": goal(comparison.target_accuracy),
    }
    header = [column.format(**named) for column in COLUMNS]
    return table(header, [_cells(entry) for entry in comparison.accelerators])


def _cells(entry: Entry | Absent) -> list[str]:
    if isinstance(entry, Absent):
        reason = f"unavailable: {literal(entry.reason)}"
        return [entry.label, reason, *["-"] * (len(COLUMNS) - 2)]
    training = entry.training
    return [
        entry.label,
        literal(entry.device),
        speed(entry.throughput),
        against(entry.throughput),
        share(training.test_accuracy),
        to_target(training),
        f"{training.epochs} (best: {training.best_epoch + 1})",
        duration(training.seconds),
        f"`{entry.digests.weights[:12]}`",
    ]


def _speed(present: Sequence[Entry]) -> Iterable[str]:
    """How sure the speed is, and where the time goes."""
    if not present:
        return
    yield "## How sure is the speed, and where does the time go?"
    yield "\n".join(f"- {entry.label}: {sureness(entry.throughput)}." for entry in present)
    yield _ratio_table(present)
    yield (
        "Ratios of images per second, from blocks that took turns; the noise floor is the Trainer "
        "against itself. The plain loop is PyTorch without Lightning, the resident batch training "
        "without input, ImageFolder what most people write."
    )
    yield table(EFFICIENCY_COLUMNS, [_efficiency(entry) for entry in present])
    yield (
        "Shares of a training step; the peak is the best rate of convolutions and matrix products "
        "in the same precision, measured once."
    )
    yield table(START_COLUMNS, [_start(entry) for entry in present])
    yield (
        "Undisturbed: the rate that the fastest fifth of each process's blocks reach. Lightning's "
        "overhead: measured with a model that computes next to nothing. Decoding: building the "
        "decode cache, once."
    )
    yield "![Times of single training steps](steps.svg)"
    if any(entry.throughput.sweep for entry in present):
        yield "![Training images per second against the batch size](sweep.svg)"
        yield table(SWEEP_COLUMNS, list(swept(present)))


def _ratio_table(present: Sequence[Entry]) -> str:
    """A column for each ratio that some accelerator has."""
    measured = [entry.throughput.ratios for entry in present]
    names = [name for name in RATIOS if any(name in ratios for ratios in measured)]
    header = ("Accelerator", *(RATIOS[name] for name in names), "Noise floor")
    return table(header, [_ratios(entry, names) for entry in present])


def _ratios(entry: Entry, names: Sequence[str]) -> list[str]:
    ratios = [entry.throughput.ratios.get(name) for name in names]
    cells = [ratio(found) if found else "-" for found in ratios]
    return [entry.label, *cells, ratio(entry.throughput.noise_floor)]


def _efficiency(entry: Entry) -> list[str]:
    shares = entry.throughput.step_shares
    parts = [share(found) for _, found in shares] if shares else []
    return [
        entry.label,
        *(parts or ["-"] * 3),
        share(entry.utilisation),
        memory(entry.peak_memory),
        energy(entry.energy),
        cost(entry.cost),
        training_cost(entry.cost),
    ]


def _start(entry: Entry) -> list[str]:
    found = entry.throughput
    return [
        entry.label,
        rate(found.undisturbed_images_per_second),
        first_step(found),
        milliseconds(found.overhead),
        decoding(found.decoding),
    ]


def _transfer(present: Sequence[Entry], target: float) -> Iterable[str]:
    """What the weights bring: each training beside its control."""
    controlled = [entry for entry in present if entry.control]
    if not controlled:
        return
    yield "## What the weights bring"
    header = (
        "Start", "Test accuracy", "Mean over classes", "Top-5",
        f"To {goal(target)} validation accuracy",
    )  # fmt: skip
    yield table(header, [line for entry in controlled for line in _starts(entry)])
    yield "\n".join(_gain(entry) for entry in controlled)
    yield "A control starts from random weights and trains all layers, on augmented images."


def _starts(entry: Entry) -> list[list[str]]:
    assert entry.control
    starts: dict[str, TrainingEntry] = {"as configured": entry.training, CONTROL: entry.control}
    return [
        [
            f"{entry.label}, {start}",
            share(training.test_accuracy),
            f"{training.balanced_accuracy:.1%}",
            f"{training.test_top5:.1%}",
            to_target(training),
        ]
        for start, training in starts.items()
    ]


def _gain(entry: Entry) -> str:
    assert entry.control
    one, other = (each.test_accuracy.estimate for each in (entry.training, entry.control))
    alike = ", ".join(
        f"{name.replace('_', ' ')} {'equal' if equal else '**different**'}"
        for name, equal in entry.control.alike
    )
    return f"- {entry.label}: {(one - other) * 100:+.1f} points against its control ({alike})."


def _seeds(present: Sequence[Entry], target: float) -> Iterable[str]:
    """Every run of several seeds, and what they have in common."""
    several = [entry for entry in present if entry.seeds]
    if not several:
        return
    yield "## How much depends on the seed?"
    header = ("Run", "Test accuracy", f"To {goal(target)} validation accuracy")
    yield table(header, [line for entry in several for line in _runs(entry)])
    yield "\n".join(_spread(entry, target) for entry in several)


def _runs(entry: Entry) -> list[list[str]]:
    assert entry.seeds
    names = ["the run's seed", *(f"seed {seed}" for seed in entry.seeds.further)]
    return [
        [f"{entry.label}, {name}", share(run.test_accuracy), to_target(run)]
        for name, run in zip(names, entry.seeds.runs, strict=True)
    ]


def _spread(entry: Entry, target: float) -> str:
    found = entry.seeds
    assert found
    return (
        f"- {entry.label}: mean test accuracy {share(found.mean)}, over seeds, on the same test "
        f"images; standard deviation {found.std * 100:.1f} points; {found.reached} of "
        f"{len(found.runs)} runs reached {goal(target)}."
    )


def _results(comparison: Comparison) -> Iterable[str]:
    """Whether results are reproducible, here and elsewhere, and that the inputs were the same."""
    present = comparison.present
    if not present:
        return
    yield "## Is it reproducible?"
    replays = [run for entry in present for run in trainings(entry.label, entry).items()]
    yield "\n".join(f"- {name}: {replayed(training.replay)}." for name, training in replays)
    if pairs := here(comparison):
        yield "\n".join(f"- {pair.one} and {pair.other}: {pair.claim}." for pair in pairs)
        yield PAIRS
    header = ("Accelerator", "Initial weights", "Sample order", "First pixels")
    yield table(header, [_digests(entry) for entry in present])


def _digests(entry: Entry) -> list[str]:
    found = entry.digests
    digests = (found.initial_weights, found.order, found.pixels)
    return [entry.label, *(f"`{digest[:12]}`" for digest in digests)]


def _machines(comparison: Comparison) -> Iterable[str]:
    """What other machines exported."""
    machines = comparison.machines
    if not machines:
        return
    yield "## Other machines"
    header = (
        "Machine", "Accelerator", "Device", "Images/s",
        f"Against {literal(comparison.reference or '')}", "Results", "Test accuracy",
        f"To {goal(comparison.target_accuracy)} validation accuracy", "Utilisation",
        "Cost of a million images",
    )  # fmt: skip
    pairs = zip(machines, results(comparison), strict=True)
    yield table(header, [_machine(entry, result) for entry, result in pairs])
    if said := elsewhere(comparison):
        yield plain(said)


def _machine(entry: Entry, result: str) -> list[str]:
    return [
        f"`{entry.machine}`",
        literal(entry.label),
        literal(entry.device),
        speed(entry.throughput),
        against(entry.throughput),
        result,
        share(entry.training.test_accuracy),
        to_target(entry.training),
        share(entry.utilisation),
        cost(entry.cost),
    ]

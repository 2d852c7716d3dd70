"""The comparison as Markdown: reports/report.md, for a pull request or a terminal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark.comparison import CONTROL, few, title, trainings
from benchmark.markdown import duration, literal, plain, table

Entry = Mapping[str, Any]

COLUMNS = (
    "Accelerator", "Device", "Images/s", "Against {reference}", "Test accuracy",
    "To {goal} validation accuracy", "Epochs", "Training time", "Weights",
)  # fmt: skip
INTERVALS = (
    "Intervals are of 95 %: those of rates over the processes of one measurement, those of "
    "accuracies over the test images, for the one model that was trained."
)
PAIRS = (
    "One training of each is compared, so that `different` and `statistically equal` are said of "
    "two trained models."
)
RATIOS = {
    "trainer_over_loop": "Trainer / plain loop",
    "trainer_over_compute": "Trainer / resident batch",
    "trainer_over_baseline": "Trainer / ImageFolder loop",
    "input_over_baseline_input": "Loader / ImageFolder loader, per core (bytes / finished floats)",
}


def render(comparison: Mapping[str, Any], facts: Sequence[str]) -> str:
    """The page.

    Args:
        comparison: as comparison.build makes it.
        facts: lines about what ran.
    """
    entries = comparison["accelerators"]
    present = [entry for entry in entries if entry["status"] == "ok"]
    blocks = [
        "# Fine-tuning ResNet50, compared",
        f"**{comparison['verdict']}**",
        *(f"> {plain(literal(flag))}" for flag in comparison["flags"]),
        accelerators(entries, comparison["reference"], comparison["target_accuracy"]),
        INTERVALS,
        "![Training images per second](throughput.svg)",
        "![Training loss by step](loss.svg)",
        "![Validation accuracy against training time](accuracy.svg)",
        *_speed(present),
        *_transfer(present, comparison["target_accuracy"]),
        *_seeds(present, comparison["target_accuracy"]),
        *_results(present, comparison),
        *_machines(comparison),
        "## What ran",
        "\n".join(f"- {plain(fact)}" for fact in facts),
        "Accuracy is that of the epoch with the lowest validation loss.",
    ]
    return "\n\n".join(blocks) + "\n"


def accelerators(entries: Sequence[Entry], reference: str | None, target: float) -> str:
    """A line for each, with its figures or why there are none."""
    named = {"reference": literal(reference or "another"), "goal": goal(target)}
    header = [column.format(**named) for column in COLUMNS]
    return table(header, [_cells(entry) for entry in entries])


def goal(target: float) -> str:
    """An accuracy without digits that it does not have."""
    return f"{100 * target:g}%"


def against(throughput: Mapping[str, Any]) -> str:
    """A rate's ratio to the reference's, in words where there is none."""
    if throughput["not_compared"]:
        return f"not compared: {throughput['not_compared']}"
    if throughput["ratio_to_reference"] is None:
        return "the reference"
    found = ratio(throughput["ratio_to_reference"])
    return found if throughput["detectable"] else f"no difference detectable: {found}"


def ratio(found: Mapping[str, float]) -> str:
    """An interval: ratios near 1 to three places, others to fewer."""
    places = 3 if found["median"] < 2 else 2 if found["median"] < 10 else 0
    low, middle, high = (f"{found[name]:.{places}f}" for name in ("low", "median", "high"))
    return f"{middle} ({low} to {high})"


def speed(throughput: Mapping[str, Any]) -> str:
    """Images per second with their interval, and a warning if they are not stable."""
    said = _rate(throughput["images_per_second"])
    return said if throughput["verdict"] == "stable" else f"{said}, unstable"


def _rate(found: Mapping[str, float]) -> str:
    return f"{found['median']:.1f} ({found['low']:.1f} to {found['high']:.1f})"


def share(found: Mapping[str, float]) -> str:
    """A share with its interval."""
    return f"{found['median']:.1%} ({found['low']:.1%} to {found['high']:.1%})"


def to_target(training: Mapping[str, Any]) -> str:
    """Time and images until the target was reached."""
    found = training["to_target"]
    if found is None:
        return f"not reached in {duration(training['seconds'])}"
    return f"{duration(found['seconds'])}, {found['images']:,} images"


def memory(found: Mapping[str, Any]) -> str:
    """Peak memory of the device, or why it is not known, and of the host."""
    device = found["device_bytes"]
    known = f"{device / 2**30:.1f} GiB" if isinstance(device, int) else device
    return f"host {found['host_bytes'] / 2**30:.1f} GiB, device {known}"


def energy(found: Mapping[str, Any]) -> str:
    """Of one image, or why it is not known."""
    if "reason" in found:
        return f"unavailable: {found['reason']}"
    joules = found["joules_per_image"]
    return f"{joules['median']:.2g} ({joules['low']:.2g} to {joules['high']:.2g}) J an image"


def cost(found: Mapping[str, float] | None) -> str:
    """Of a million images, in the unit of the price."""
    if found is None:
        return "no price given"
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def swept(present: Sequence[Entry]) -> Iterable[tuple[str, str, str]]:
    """Accelerator, point and outcome of everything in the sweeps."""
    for entry in present:
        for point in entry["throughput"]["sweep"]:
            found = {k: v for k, v in point.items() if k not in ("status", "images_per_second")}
            reason = found.pop("reason", "")
            what = ", ".join(f"{name} {value}" for name, value in found.items())
            if point["status"] == "ok":
                yield entry["label"], what, _rate(point["images_per_second"])
            else:
                yield entry["label"], what, f"{point['status']}: {reason}"


def replayed(found: Mapping[str, Any]) -> str:
    """What the replay came to."""
    if found["bitwise"]:
        return f"reproduced bitwise over {found['steps']} steps"
    return f"not reproduced: parted at step {found['parted_at']} of {found['steps']}"


def _cells(entry: Entry) -> list[str]:
    if entry["status"] != "ok":
        reason = f"unavailable: {literal(entry['reason'])}"
        return [entry["label"], reason, *["-"] * (len(COLUMNS) - 2)]
    training = entry["training"]
    return [
        entry["label"],
        literal(entry["device"]),
        speed(entry["throughput"]),
        against(entry["throughput"]),
        share(training["test_accuracy"]),
        to_target(training),
        f"{training['epochs']} (best: {training['best_epoch'] + 1})",
        duration(training["seconds"]),
        f"`{entry['digests']['weights'][:12]}`",
    ]


def _speed(present: Sequence[Entry]) -> Iterable[str]:
    """How sure the speed is, and where the time goes."""
    if not present:
        return
    found = [entry["throughput"] for entry in present]
    names = [name for name in RATIOS if any(name in each["ratios"] for each in found)]
    yield "## How sure is the speed, and where does the time go?"
    yield "\n".join(f"- {entry['label']}: {entry['throughput']['verdict']}." for entry in present)
    header = ("Accelerator", *(RATIOS[name] for name in names), "Noise floor")
    yield table(header, [_ratios(entry, names) for entry in present])
    yield (
        "Ratios of images per second, from blocks that took turns; the noise floor is the Trainer "
        "against itself. The plain loop is PyTorch without Lightning, the resident batch training "
        "without input, ImageFolder what most people write."
    )
    yield table(
        (
            "Accelerator",
            "Compute",
            "Input",
            "Lightning",
            "Of its peak",
            "Peak memory",
            "Energy",
            "Cost of a million images",
        ),
        [_whereabouts(entry) for entry in present],
    )
    yield (
        "Shares of a training step; the peak is the best rate of convolutions and matrix products "
        "in the same process and precision."
    )
    yield "![Times of single training steps](steps.svg)"
    if any(each["sweep"] for each in found):
        yield "![Training images per second against the batch size](sweep.svg)"
        yield table(("Accelerator", "Point of the sweep", "Images/s"), list(swept(present)))


def _ratios(entry: Entry, names: Sequence[str]) -> list[str]:
    ratios = [entry["throughput"]["ratios"].get(name) for name in names]
    cells = [ratio(found) if found else "-" for found in ratios]
    return [entry["label"], *cells, ratio(entry["throughput"]["noise_floor"])]


def _whereabouts(entry: Entry) -> list[str]:
    time = entry["throughput"]["time"]
    parts = [share(time[name]) for name in ("compute", "input", "lightning")] if time else []
    return [
        entry["label"],
        *(parts or ["-"] * 3),
        share(entry["utilisation"]),
        memory(entry["peak_memory"]),
        energy(entry["energy"]),
        cost(entry["cost_per_million_images"]),
    ]


def _transfer(present: Sequence[Entry], target: float) -> Iterable[str]:
    """What the weights bring: each training beside its control."""
    controlled = [entry for entry in present if "control" in entry]
    if not controlled:
        return
    yield "## What the weights bring"
    header = ("Start", "Test accuracy", "Top-5", f"To {goal(target)} validation accuracy")
    yield table(header, [line for entry in controlled for line in _starts(entry)])
    yield "\n".join(_gain(entry) for entry in controlled)
    yield "A control starts from random weights and trains all layers, on augmented images."


def _starts(entry: Entry) -> list[list[str]]:
    starts = {"as configured": entry["training"], CONTROL: entry["control"]}
    return [
        [
            f"{entry['label']}, {start}",
            share(training["test_accuracy"]),
            f"{training['test_top5']:.1%}",
            to_target(training),
        ]
        for start, training in starts.items()
    ]


def _gain(entry: Entry) -> str:
    one, other = (entry[name]["test_accuracy"]["median"] for name in ("training", "control"))
    alike = ", ".join(
        f"{name} {'equal' if equal else '**different**'}"
        for name, equal in entry["control"]["alike"].items()
    )
    return f"- {entry['label']}: {(one - other) * 100:+.1f} points against its control ({alike})."


def _seeds(present: Sequence[Entry], target: float) -> Iterable[str]:
    """Every run of several seeds, and what they come to."""
    several = [entry for entry in present if entry["seeds"]]
    if not several:
        return
    yield "## How much depends on the seed?"
    header = ("Run", "Test accuracy", f"To {goal(target)} validation accuracy")
    yield table(header, [line for entry in several for line in _runs(entry)])
    yield "\n".join(_spread(entry, target) for entry in several)


def _runs(entry: Entry) -> list[list[str]]:
    names = ["the run's seed", *(f"seed {seed}" for seed in entry["seeds"]["further"])]
    return [
        [f"{entry['label']}, {name}", share(run["test_accuracy"]), to_target(run)]
        for name, run in zip(names, entry["seeds"]["runs"], strict=True)
    ]


def _spread(entry: Entry, target: float) -> str:
    found = entry["seeds"]
    return (
        f"- {entry['label']}: mean test accuracy {found['mean']:.1%}, standard deviation "
        f"{found['deviation'] * 100:.1f} points; {found['reached']} of {len(found['runs'])} runs "
        f"reached {goal(target)}."
    )


def here(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The pairs of this machine's accelerators that were there."""
    labels = {entry["label"] for entry in comparison["accelerators"] if entry["status"] == "ok"}
    return [pair for pair in comparison["parity"] if labels >= {pair["one"], pair["other"]}]


def results(comparison: Mapping[str, Any]) -> list[str]:
    """What the results of each entry of another machine are beside the reference's, in short."""
    one = comparison["reference"]
    pairs = {pair["other"]: _short(pair) for pair in comparison["parity"] if pair["one"] == one}
    names = [title(entry["label"], entry["machine"]) for entry in comparison["machines"]]
    return [pairs.get(name, "the reference") for name in names]


def _short(pair: Mapping[str, Any]) -> str:
    if pair["kind"] == "not compared":
        return str(pair["claim"])
    p = f" (p = {pair['p']:.2g})" if pair["p"] is not None else ""
    parted = f", bits part at step {pair['parted_at']}" if pair["parted_at"] else ""
    return f"{pair['kind']}{p}{parted}"


def elsewhere(comparison: Mapping[str, Any]) -> str:
    """Every pair with another machine that is not the reference's, counted; empty if none is."""
    one, near = comparison["reference"], here(comparison)
    pairs = [
        pair
        for pair in comparison["parity"]
        if pair["kind"] != "unavailable" and pair["one"] != one and pair not in near
    ]
    if not pairs:
        return ""
    kinds = Counter(pair["kind"] for pair in pairs)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    unlike = [f"{p['one']} and {p['other']}" for p in pairs if p["kind"] == "different"]
    named = f" (different: {few(unlike)})" if unlike else ""
    return f"Of {len(pairs)} pairs without {one}: {said}{named}."


def _results(present: Sequence[Entry], comparison: Mapping[str, Any]) -> Iterable[str]:
    """Whether results can be had again, here and elsewhere, and that the inputs were the same."""
    if not present:
        return
    yield "## Can the results be had again?"
    replays = [run for entry in present for run in trainings(entry["label"], entry).items()]
    yield "\n".join(f"- {name}: {replayed(training['replay'])}." for name, training in replays)
    if pairs := here(comparison):
        yield "\n".join(f"- {p['one']} and {p['other']}: {p['claim']}." for p in pairs)
        yield PAIRS
    header = ("Accelerator", "Initial weights", "Sample order", "First pixels")
    yield table(header, [_digests(entry) for entry in present])


def _digests(entry: Entry) -> list[str]:
    names = ("initial_weights", "order", "pixels")
    return [entry["label"], *(f"`{entry['digests'][name][:12]}`" for name in names)]


def _machines(comparison: Mapping[str, Any]) -> Iterable[str]:
    """What other machines exported."""
    machines, reference = comparison["machines"], comparison["reference"]
    if not machines:
        return
    yield "## Other machines"
    header = (
        "Machine", "Accelerator", "Device", "Images/s", f"Against {literal(reference)}",
        "Results", "Test accuracy",
        f"To {goal(comparison['target_accuracy'])} validation accuracy", "Of its peak",
        "Cost of a million images",
    )  # fmt: skip
    rows = [
        [
            f"`{entry['machine']}`",
            literal(entry["label"]),
            literal(entry["device"]),
            speed(entry["throughput"]),
            against(entry["throughput"]),
            result,
            share(entry["training"]["test_accuracy"]),
            to_target(entry["training"]),
            share(entry["utilisation"]),
            cost(entry["cost_per_million_images"]),
        ]
        for entry, result in zip(machines, results(comparison), strict=True)
    ]
    yield table(header, rows)
    if said := elsewhere(comparison):
        yield plain(said)

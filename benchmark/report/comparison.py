"""What the records of several accelerators and machines come to, as data: reports/comparison.json.

Every other form of the report is drawn from it. A ratio stands only between equal workloads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, combinations, product
from math import hypot, isfinite
from statistics import fmean, stdev
from typing import Any

from benchmark import parity
from benchmark.record import Record, Training
from benchmark.statistics import Interval, detectable, proportion

SCHEMA_VERSION = 2
SHOWN = 3
"""Names in a line that is about many."""
CONTROL = "random weights (control)"
Named = tuple[str, Record]
NOTHING = "No accelerator of the list is on this machine, so nothing was measured."


def build(
    own: Sequence[Record],
    others: Sequence[Record],
    controls: Mapping[str, Training],
    dataset: Mapping[str, Any],
    target: float,
) -> dict[str, Any]:
    """The comparison.

    Args:
        own: of this machine, in the order of params.yaml; the first available record is the
            reference.
        others: exported by other machines.
        controls: the same trainings from random weights, by accelerator.
        dataset: this machine's: the pin's md5, classes and images of each split.
        target: the validation accuracy to which time is counted.
    """
    reference = next((record for record in [*own, *others] if record.available), None)
    accelerators = [_entry(record, reference, target) for record in own]
    machines = [_entry(record, reference, target) for record in others]
    for record, entry in zip(own, accelerators, strict=True):
        if record.available and record.name in controls:
            entry["control"] = _controlled(record, controls[record.name], target)
    here = [(record.label, record) for record in own]
    there = [(title(record.label, record.machine), record) for record in others]
    pairs = _pairs(here, there)
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict(accelerators, pairs),
        "flags": flags(accelerators, machines, reference),
        "reference": next((n for n, record in [*here, *there] if record is reference), None),
        "target_accuracy": target,
        "dataset": dict(dataset),
        "accelerators": accelerators,
        "parity": pairs,
        "machines": machines,
    }


def verdict(accelerators: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> str:
    """The whole in one sentence."""
    present = [entry for entry in accelerators if entry["status"] == "ok"]
    if not present:
        return NOTHING
    absent = [entry["label"] for entry in accelerators if entry["status"] != "ok"]
    sentence = _alone(present[0]) if len(present) == 1 else _among(present, pairs)
    return f"{sentence}; {' and '.join(absent)} not measured." if absent else f"{sentence}."


def flags(
    accelerators: Sequence[Mapping[str, Any]],
    machines: Sequence[Mapping[str, Any]],
    reference: Record | None,
) -> list[str]:
    """What must be known before a speed is read: who did other work than the reference or had
    other software, whose speed is unstable, and whose results could not be had again."""
    kinds: dict[str, list[str]] = {}
    for name, entry in _named(accelerators, machines).items():
        assert reference
        for kind, names in _doubts(name, entry, reference).items():
            kinds.setdefault(kind, []).extend(names)
    return [f"{kind}: {few(names)}." for kind, names in kinds.items()]


def _doubts(name: str, entry: Mapping[str, Any], reference: Record) -> dict[str, list[str]]:
    """By what they are, the names of those that have them."""
    doubts: dict[str, list[str]] = {}
    if why := entry["throughput"]["not_compared"]:
        doubts[f"Not comparable, {why}"] = [name]
    known = software(reference)
    if others := [f"{n} {v}" for n, v in entry["software"].items() if known.get(n) != v]:
        doubts[f"Other software, {', '.join(others)}"] = [name]
    if entry["code"] != reference.training.result["inputs"]["code"]:
        doubts["Other training code"] = [name]
    if entry["throughput"]["verdict"] != "stable":
        doubts["Unstable speed"] = [name]
    alike = entry["control"]["alike"] if "control" in entry else {}
    if unlike := [what for what, same in alike.items() if not same]:
        doubts[f"A control of other {', '.join(unlike)}"] = [name]
    parted = [n for n, t in trainings(name, entry).items() if not t["replay"]["bitwise"]]
    return {**doubts, "Not reproduced": parted} if parted else doubts


def software(record: Record) -> dict[str, str]:
    """Versions of what computes."""
    environment = record.environment
    return {"python": environment["python"], **environment["packages"]}


def trainings(name: str, entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Everything that was trained on an accelerator that is called `name`."""
    control = {f"{name}, {CONTROL}": entry["control"]} if "control" in entry else {}
    seeds = entry["seeds"] or {"further": [], "runs": []}
    further = zip(seeds["further"], seeds["runs"][1:], strict=True)
    return {name: entry["training"], **control, **{f"{name}, seed {n}": run for n, run in further}}


def few(names: Sequence[str]) -> str:
    """The first of many; their entries say the rest."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def rates(comparison: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Images per second, by name, of the reference and of all that did the same work."""
    named = _named(comparison["accelerators"], comparison["machines"])
    found = {name: entry["throughput"] for name, entry in named.items()}
    return {n: f["images_per_second"] for n, f in found.items() if not f["not_compared"]}


def _named(
    accelerators: Sequence[Mapping[str, Any]], machines: Sequence[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The entries that were there, by what they are called."""
    here = {entry["label"]: entry for entry in accelerators if entry["status"] == "ok"}
    return here | {title(entry["label"], entry["machine"]): entry for entry in machines}


def title(label: str, machine: str) -> str:
    """What an accelerator of another machine is called."""
    return f"{label} on {machine}"


def incomparable(one: Record, other: Record) -> str | None:
    """Why there is no ratio of the two's speeds; None where there is one. Of the parameters only
    those of the workload matter to a speed."""
    unlike = [n for n in parity.unlike(one.training, other.training) if n != "parameters"]
    if unlike:
        return f"other {' and '.join(unlike)}"
    ours, theirs = one.throughput["workload"], other.throughput["workload"]
    names = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    return f"other {', '.join(names)}" if names else None


def interval(found: Mapping[str, float]) -> Interval:
    """An interval as a result holds it."""
    return Interval(found["median"], found["low"], found["high"])


def _entry(record: Record, reference: Record | None, target: float) -> dict[str, Any]:
    start = {"name": record.name, "label": record.label}
    if not record.available:
        return {**start, "status": "unavailable", "reason": record.training.result["reason"]}
    assert reference
    found, efficiency = record.throughput, record.throughput["efficiency"]
    return {
        **start,
        "status": "ok",
        "machine": record.machine,
        "device": record.training.result["device"],
        "software": software(record),
        "code": record.training.result["inputs"]["code"],
        "throughput": {
            "images_per_second": record.rate,
            **_against(record, reference),
            "noise_floor": found["noise_floor"],
            "verdict": found["verdict"],
            "ratios": found["ratios"],
            "time": _time(found["ratios"]),
            "step_seconds": found["trainer"]["step_seconds"],
            "sweep": _sweep(found),
        },
        "utilisation": efficiency["utilisation"],
        "peak_memory": efficiency["peak_memory"],
        "energy": efficiency["energy"],
        "cost_per_million_images": efficiency.get("cost_per_million_images"),
        "training": _training(record.training, record.train_images, target),
        "seeds": _seeds(record, target),
        "digests": record.training.digests,
    }


def _sweep(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its points without single blocks, each with its batch size."""
    size = found["workload"]["batch_size"]
    points = [{"batch_size": size, **point} for point in found.get("sweep", [])]
    return [{k: v for k, v in point.items() if k != "samples"} for point in points]


def _against(record: Record, reference: Record) -> dict[str, Any]:
    """The rate's ratio to the reference's, or why there is none."""
    if record is reference:
        return {"ratio_to_reference": None, "not_compared": None, "detectable": None}
    why = incomparable(record, reference)
    if why:
        return {"ratio_to_reference": None, "not_compared": why, "detectable": None}
    one, other = (interval(r.rate) for r in (record, reference))
    floors = [interval(r.throughput["noise_floor"]) for r in (record, reference)]
    ratio = one.over(other)
    return {
        "ratio_to_reference": asdict(ratio),
        "not_compared": None,
        "detectable": detectable(ratio, floors),
    }


def _time(ratios: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]] | None:
    """Shares of the Trainer's time; None where the modes that tell them were not measured.

    The rate of the trainer over that of another mode is the other's part of the trainer's time.
    A share that is small beside its interval may come out below 0.
    """
    if not {"trainer_over_loop", "trainer_over_compute"} <= ratios.keys():
        return None
    loop, compute = (interval(ratios[f"trainer_over_{mode}"]) for mode in ("loop", "compute"))
    down = hypot(loop.median - loop.low, compute.high - compute.median)
    up = hypot(loop.high - loop.median, compute.median - compute.low)
    between = loop.median - compute.median
    return {
        "compute": asdict(compute),
        "input": asdict(Interval(between, between - down, between + up)),
        "lightning": asdict(Interval(1 - loop.median, 1 - loop.high, 1 - loop.low)),
    }


def _training(training: Training, images: int, target: float) -> dict[str, Any]:
    result, timing = training.result, training.timing
    right, asked = training.correct.count("1"), len(training.correct)
    return {
        "test_accuracy": {**asdict(proportion(right, asked)), "right": right, "images": asked},
        "test_top5": result["test"]["top5"],
        "val_accuracy": result["val"]["accuracy"],
        "epochs": result["epochs"],
        "best_epoch": result["best_epoch"],
        "steps": result["steps"],
        "train_loss": {"first": _finite(training.losses[0]), "last": _finite(training.losses[-1])},
        "seconds": timing["total_seconds"],
        "to_target": _to_target(training, images, target),
        "replay": training.replay,
    }


def _finite(loss: float) -> float | None:
    """None in place of what JSON cannot hold."""
    return loss if isfinite(loss) else None


def _controlled(record: Record, control: Training, target: float) -> dict[str, Any]:
    """A control, and what it had in common with the training."""
    training = record.training
    return {
        **_training(control, record.train_images, target),
        "alike": {
            "sample order": training.digests["order"] == control.digests["order"],
            "first pixels": training.digests["pixels"] == control.digests["pixels"],
            "number of steps": training.result["steps"] == control.result["steps"],
        },
    }


def _to_target(training: Training, images: int, target: float) -> dict[str, Any] | None:
    """Epochs, wall time and images up to the end of the first epoch that reaches `target`."""
    seconds = elapsed(training)
    for epoch, accuracy in enumerate(training.accuracies, start=1):
        if accuracy >= target:
            return {"epochs": epoch, "seconds": seconds[epoch - 1], "images": epoch * images}
    return None


def elapsed(training: Training) -> list[float]:
    """Wall time from the start to the end of each epoch, that of features included, in seconds."""
    before = training.timing.get("features_seconds", 0.0)
    return list(accumulate(training.timing.get("epoch_seconds", []), initial=before))[1:]


def _seeds(record: Record, target: float) -> dict[str, Any] | None:
    """All runs, the first among them; one that misses the target counts in `reached`."""
    if not record.seeds:
        return None
    trained = [record.training, *record.seeds.values()]
    runs = [_training(each, record.train_images, target) for each in trained]
    accuracies = [run["test_accuracy"]["median"] for run in runs]
    return {
        "further": list(record.seeds),
        "runs": runs,
        "mean": fmean(accuracies),
        "deviation": stdev(accuracies),
        "reached": sum(run["to_target"] is not None for run in runs),
    }


def _pairs(here: Sequence[Named], there: Sequence[Named]) -> list[dict[str, Any]]:
    """Each pair of this machine's accelerators and, where both were there, of any machine's.

    Equal models come to the same test with a third, so tests are counted by models.
    """
    near, far = ([named for named in side if named[1].available] for side in (here, there))
    pairs = [*combinations(here, 2), *product(near, far), *combinations(far, 2)]
    tests = _tests([(one, other) for (_, one), (_, other) in pairs])
    return [
        {"one": one, "other": other, **asdict(parity.compare(first, second, tests))}
        for (one, first), (other, second) in pairs
    ]


def _tests(pairs: Sequence[tuple[Record, Record]]) -> int:
    """How many pairs of different models can be compared; 1 if none can."""
    models = {
        frozenset(record.training.digests["weights"] for record in pair)
        for pair in pairs
        if all(record.available for record in pair)
        and not parity.unlike(*(record.training for record in pair))
    }
    return max(sum(len(pair) == 2 for pair in models), 1)


def _alone(entry: Mapping[str, Any]) -> str:
    rate, accuracy = entry["throughput"]["images_per_second"], entry["training"]["test_accuracy"]
    return (
        f"{entry['label']} trains {rate['median']:.3g} images/s and reaches "
        f"{accuracy['median']:.1%} test accuracy{_control(entry)}"
    )


def _among(present: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> str:
    """The fastest of those that may be compared with the reference, and how equal they are."""
    first = present[0]
    compared = [e for e in present[1:] if e["throughput"]["ratio_to_reference"]]
    apart = [e["label"] for e in present[1:] if not e["throughput"]["ratio_to_reference"]]
    sentence = _alone(first)
    if compared:
        best = max(compared, key=lambda e: e["throughput"]["ratio_to_reference"]["median"])
        sentence = _lead(first, best)
    if apart:
        sentence += (
            f"; the speed of {' and '.join(apart)} cannot be compared with that of {first['label']}"
        )
    labels = {entry["label"] for entry in present}
    kinds = {p["kind"] for p in pairs if labels >= {p["one"], p["other"]}}
    return f"{sentence}; results: {' and '.join(sorted(kinds))}"


def _lead(reference: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """The faster of the reference and the best of the others, against the other one."""
    ratio = interval(best["throughput"]["ratio_to_reference"])
    fast, slow = (best, reference) if ratio.median > 1 else (reference, best)
    if not best["throughput"]["detectable"]:
        return f"{_alone(fast)}, no difference to {slow['label']} detectable"
    times = ratio if ratio.median > 1 else Interval(1, 1, 1).over(ratio)
    return (
        f"{_alone(fast)}, {times.median:.2f} times the rate of {slow['label']} "
        f"({times.low:.2f} to {times.high:.2f})"
    )


def _control(entry: Mapping[str, Any]) -> str:
    """What the control reached, if there is one."""
    control = entry.get("control")
    return f" ({control['test_accuracy']['median']:.1%} from random weights)" if control else ""

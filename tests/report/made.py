"""Made-up results, from which every form of the report can be drawn."""

from math import exp
from typing import Any

from benchmark.common.files import write_csv, write_json
from benchmark.common.results import EPOCH_HEADER, PREDICTION_HEADER, STEP_HEADER, Results
from benchmark.report.record import Record, Training

IMAGES = {"train": 1000, "val": 250, "test": 40}
DATASET = {"md5": "ab" * 16 + ".dir", "classes": 3, "images": IMAGES}


def around(middle: float, part: float) -> dict[str, float]:
    """An interval that reaches `part` of its median to each side."""
    return {"estimate": middle, "low": middle * (1 - part), "high": middle * (1 + part)}


def training(
    label: str = "cpu",
    *,
    correct: str = "1110" * 10,
    losses: tuple[float, ...] = (),
    weights: str = "w",
    seconds: float = 20.0,
    first_different_step: int | None = None,
    inputs: dict[str, str] | None = None,
    **digests: Any,
) -> Training:
    """Three epochs of four steps each, the second of which reaches 60 %; its replay is bitwise
    unless it `first_different_step` a step."""
    right = correct.count("1") / len(correct)
    result = {
        "status": "ok", "accelerator": label, "device": f"a {label}", "epochs": 3,
        "best_epoch": 2, "classes": 3, "steps": 12,
        "test": {"loss": 1.0, "accuracy": right, "top5": 0.95},
        "val": {"loss": 1.0, "accuracy": 0.8, "top5": 1.0},
        "digests": {
            "weights": weights * 64, "initial_weights": "i" * 64, "order": "o2", "pixels": "p" * 64,
            "first_steps": {"steps": 10, "weights": "f" * 64},
            "order_by_epoch": ["o0", "o1", "o2"], **digests,
        },
        "inputs": {"dataset": "d", "parameters": "q", "code": "c", "weights": "s"} | (inputs or {}),
    }  # fmt: skip
    times = {"total_seconds": 3 * seconds + 2, "features_seconds": 0.0}
    return Training(
        result=result,
        timing={"status": "ok", **times, "epoch_seconds": [seconds] * 3, "test_seconds": 2.0},
        losses=losses or tuple(4 * exp(-step / 6) for step in range(12)),
        accuracies=(0.3, 0.7, 0.8),
        correct=correct,
        replay={
            "status": "ok", "accelerator": label, "steps": 10, "bitwise": first_different_step is None,
            "first_different_step": first_different_step,
        },
    )  # fmt: skip


def throughput(
    label: str, rate: float, floor: float, spread: float, **workload: Any
) -> dict[str, Any]:
    """A measurement whose trainer makes `rate` images per second."""
    ratios = {
        "trainer_over_loop": around(0.995, floor),
        "trainer_over_compute": around(0.975, floor),
        "trainer_over_baseline": around(1.06, floor),
        "input_over_baseline_input": around(95.0, 0.1),
    }
    return {
        "status": "ok", "accelerator": label, "device": f"a {label}", "verdict": "stable",
        "workload": {"network": "resnet50", "batch_size": 32, "code": "c", **workload},
        "dataset": "d",
        "modes": {
            "trainer": {"images_per_second": around(rate, spread)},
            "compute": {"images_per_second": around(rate / 0.975, spread)},
        },
        "ratios": ratios,
        "noise_floor": around(1.0, floor),
        "trainer": {
            "step_seconds": {
                f"p{percent}": (0.9 + percent / 500) * 32 / rate for percent in (5, 25, 50, 75, 95)
            }
        },
        "efficiency": {
            "utilisation": around(0.5, 0.02),
            "peak_memory": {"host_bytes": 2**31, "device_bytes": "unavailable: it is the host"},
            "energy": {"status": "unavailable", "reason": "no counter"},
        },
    }  # fmt: skip


def record(
    name: str = "cpu",
    *,
    label: str | None = None,
    machine: str = "a" * 16,
    rate: float = 50.0,
    floor: float = 0.01,
    spread: float = 0.005,
    workload: dict[str, Any] | None = None,
    seeds: dict[int, Training] | None = None,
    train_images: int = IMAGES["train"],
    packages: dict[str, str] | None = None,
    **trained: Any,
) -> Record:
    """All of one accelerator."""
    label = label or name
    return Record(
        name=name,
        environment={
            "status": "ok", "machine": machine, "python": "3.11.7",
            "packages": {"torch": "2.9.1", **(packages or {})},
        },
        training=training(label, **trained),
        seeds=seeds or {},
        throughput=throughput(label, rate, floor, spread, **(workload or {})),
        train_images=train_images,
    )  # fmt: skip


def absent(name: str, reason: str = "no CUDA or MPS device found") -> Record:
    """An accelerator that is not there."""
    status = {"status": "unavailable", "accelerator": name, "reason": reason}
    nothing = Training(
        result=status, timing=status, losses=(), accuracies=(), correct="", replay=status
    )
    return Record(
        name=name, environment=status, training=nothing, seeds={}, throughput=status,
        train_images=IMAGES["train"],
    )  # fmt: skip


def write_training(results: Results, training: Training) -> None:
    """The files that a training stage leaves; two classes, in turn."""
    write_json(results.training, training.result)
    write_json(results.timing, training.timing)
    write_json(results.replay, training.replay)
    write_csv(results.steps, STEP_HEADER, [(k, 0, x) for k, x in enumerate(training.losses)])
    epochs = [(k, 1.0, 1.0, a, 1.0) for k, a in enumerate(training.accuracies)]
    write_csv(results.epochs, EPOCH_HEADER, epochs)
    rows = [
        (
            f"class {k % 2}/{k // 2 % 2:03}.png",
            f"class {k % 2}",
            f"class {(k + (d == '0')) % 2}",
            0.5,
        )
        for k, d in enumerate(training.correct)
    ]
    write_csv(results.predictions, PREDICTION_HEADER, rows)


def write_results(name: str, **options: Any) -> Record:
    """The files that all stages leave of one accelerator."""
    found = record(name, **options)
    write_found(found)
    return found


def write_absent(name: str) -> None:
    """The files that all stages leave of an absent accelerator."""
    write_found(absent(name))


def write_found(found: Record) -> None:
    """The files that all stages leave of `found`."""
    results = Results(found.name)
    write_training(results, found.training)
    for seed, training in found.seeds.items():
        write_training(results.seed(seed), training)
    write_json(results.environment, found.environment)
    write_json(results.throughput, {**found.throughput, "samples": [{"rounds": []}]})

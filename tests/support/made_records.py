"""Made-up results, from which every form of the report can be drawn."""

from math import exp
from pathlib import Path
from typing import Any

from benchmark.common.files import write_csv, write_json
from benchmark.common.results import (
    EPOCH_HEADER,
    PREDICTION_HEADER,
    STEP_HEADER,
    ResultPaths,
    TrainingPaths,
    Unavailable,
    write_result,
)
from benchmark.common.statistics import Interval
from benchmark.data.schema import PinnedImages
from benchmark.machine.schema import Environment
from benchmark.report.schema import Absent, Record, TrainingRecord
from benchmark.throughput.schema import MeasurementVerdict, Throughput
from benchmark.training.schema import Replay, Timing, Training

IMAGES = {"train": 1000, "val": 250, "test": 40}
DATASET = PinnedImages(md5="ab" * 16 + ".dir", nfiles=1290, size=10**6, classes=3, images=IMAGES)
DISTURBED = MeasurementVerdict(
    stable=False, reason="other work took 40% of the processors", advice="end it and repeat"
)
WORKLOAD = {
    "network": "resnet50", "weights": "s", "freeze_backbone": False, "channels_last": True,
    "compile": False, "image_size": 64, "batch_size": 32, "num_workers": 0, "cache_gib": 8.0,
    "precision": "32-true", "adam": "auto", "deterministic": True, "code": "c",
}  # fmt: skip
INPUTS = {"dataset": "d", "parameters": "q", "code": "c", "weights": "s", "environment": "e"}


def around(middle: float, width: float) -> Interval:
    """Return the interval `middle` ± the share `width` of it, with 5 degrees of freedom."""
    return Interval(middle, middle * (1 - width), middle * (1 + width), 5)


def by_class(correct: str) -> tuple[tuple[int, int], ...]:
    """Return the counts (correct, all) of two classes whose images alternate."""
    classes = [correct[first::2] for first in (0, 1)]
    return tuple((answers.count("1"), len(answers)) for answers in classes if answers)


def replay(label: str = "cpu", first_different_step: int | None = None) -> Replay:
    """Return a replay, which is bitwise unless a step differs."""
    return Replay(
        accelerator=label,
        steps=10,
        bitwise=first_different_step is None,
        first_different_step=first_different_step,
    )


def training(
    label: str = "cpu",
    *,
    device: str | None = None,
    correct: str = "1110" * 10,
    losses: tuple[float, ...] = (),
    accuracies: tuple[float, ...] = (0.3, 0.7, 0.8),
    weights: str = "w",
    seconds: float = 20.0,
    first_different_step: int | None = None,
    inputs: dict[str, str] | None = None,
    **digests: Any,
) -> TrainingRecord:
    """Return a training of three epochs with four steps each; the second reaches 60 %."""
    right = correct.count("1") / len(correct)
    result = {
        "accelerator": label, "device": device or f"a {label}", "epochs": 3, "best_epoch": 3,
        "classes": 3, "steps": 12,
        "test": {"loss": 1.0, "accuracy": right, "top5": 0.95},
        "val": {"loss": 1.0, "accuracy": 0.8, "top5": 1.0},
        "digests": {
            "weights": weights * 64, "initial_weights": "i" * 64, "order": "o2", "pixels": "p" * 64,
            "first_steps": {"steps": 10, "weights": "f" * 64},
            "order_by_epoch": ["o0", "o1", "o2"], **digests,
        },
        "inputs": INPUTS | (inputs or {}),
    }  # fmt: skip
    return TrainingRecord(
        result=Training.model_validate(result),
        timing=Timing(
            accelerator=label,
            total_seconds=3 * seconds + 2,
            features_seconds=0.0,
            epoch_seconds=(seconds,) * 3,
            test_seconds=2.0,
        ),
        losses=losses or tuple(4 * exp(-step / 6) for step in range(12)),
        accuracies=accuracies,
        correct=correct,
        by_class=by_class(correct),
        replay=replay(label, first_different_step),
    )


def environment(
    label: str = "cpu", machine: str = "a" * 16, packages: dict[str, str] | None = None
) -> Environment:
    """Return the environment of a machine."""
    return Environment(
        accelerator=label, device=f"a {label}", machine=machine, cpu="a cpu", cores=2, threads=2,
        processors=2, memory_gib=16, system="Linux x86_64", python="3.11.7",
        packages={"torch": "2.9.1", **(packages or {})},
    )  # fmt: skip


def throughput(label: str, rate: float, floor: float, spread: float, **workload: Any) -> Throughput:
    """Return a measurement whose Trainer trains `rate` images per second."""
    seconds = {f"p{percent}": (0.9 + percent / 500) * 32 / rate for percent in (5, 25, 50, 75, 95)}
    content = {
        "accelerator": label, "device": f"a {label}", "verdict": MeasurementVerdict(stable=True),
        "interval_width": {
            "widest": "trainer", "width": 2 * spread, "target": 0.03, "seconds": 200.0
        },
        "workload": WORKLOAD | workload, "seed": 1, "date": "2026-01-02",
        "runtime": {"adam": "fused", "wait_policy": "10000", "huge_pages": True}, "dataset": "d",
        "modes": {
            "trainer": {"images_per_second": around(rate, spread)},
            "compute": {"images_per_second": around(rate / 0.975, spread)},
        },
        "ratios": {
            "trainer_over_loop": around(0.995, floor),
            "trainer_over_compute": around(0.975, floor),
            "trainer_over_baseline": around(1.06, floor),
            "input_over_baseline_input": around(95.0, 0.1),
            "compute_over_nondeterministic": around(0.99, floor),
        },
        "noise_floor": around(1.0, floor),
        "trainer": {
            "undisturbed_images_per_second": around(1.04 * rate, spread / 2),
            "step_seconds": seconds, "first_step_seconds": around(1.0, 0.1), "compile_seconds": 0.0,
            "step_shares": {
                "compute": around(0.975, floor), "input": around(0.02, 10 * floor),
                "lightning": around(0.005, 20 * floor),
            },
            "overhead": {"seconds_per_step": 3e-4, "seconds_per_epoch": 3e-3},
        },
        "other_work": 0.01,
        "efficiency": {
            "flops_per_image": 10**9, "flops_per_second": around(1e9 * rate, 0.02),
            "peak": {"flops_per_second": 2e9 * rate, "of": "matrix product"},
            "utilisation": around(0.5, 0.02), "decoding": around(2000.0, 0.05),
            "peak_memory": {"host_bytes": 2**31, "device_reason": "it is the host"},
            "energy": {"reason": "no counter"},
        },
    }  # fmt: skip
    return Throughput.model_validate(content)


def record(
    name: str = "cpu",
    *,
    label: str | None = None,
    machine: str = "a" * 16,
    rate: float = 50.0,
    floor: float = 0.01,
    spread: float = 0.005,
    workload: dict[str, Any] | None = None,
    seeds: dict[int, TrainingRecord] | None = None,
    train_images: int = IMAGES["train"],
    packages: dict[str, str] | None = None,
    measured: dict[str, Any] | None = None,
    **trained: Any,
) -> Record:
    """Return a record; `measured` replaces fields of its throughput."""
    label = label or name
    measurement = throughput(label, rate, floor, spread, **(workload or {}))
    return Record(
        name=name,
        environment=environment(label, machine, packages),
        training=training(label, **trained),
        seeds=seeds or {},
        throughput=measurement.model_copy(update=measured or {}),
        train_images=train_images,
    )


def absent(name: str, reason: str = "no CUDA or MPS device found") -> Absent:
    """Return an accelerator that the machine does not have."""
    return Absent(name=name, label=name, reason=reason)


def exported(result: Record) -> dict[str, Any]:
    """Return a record as the export writes it."""
    content: dict[str, Any] = result.model_dump(mode="json", exclude_none=True)
    return content


def write_exported(path: Path, result: Record) -> None:
    """Write the file that another machine's export would be."""
    write_json(path, exported(result))


def write_training(paths: TrainingPaths, training: TrainingRecord) -> None:
    """Write the files of a training; its test images alternate between two classes."""
    write_result(paths.result, training.result)
    write_result(paths.timing, training.timing)
    write_result(paths.replay, training.replay)
    write_csv(paths.steps, STEP_HEADER, [(k, 1, x) for k, x in enumerate(training.losses, 1)])
    epochs = [(k, 1.0, 1.0, a, 1.0) for k, a in enumerate(training.accuracies, 1)]
    write_csv(paths.epochs, EPOCH_HEADER, epochs)
    rows = [
        (
            f"class {k % 2}/{k // 2 % 2:03}.png",
            f"class {k % 2}",
            f"class {(k + (d == '0')) % 2}",
            0.5,
        )
        for k, d in enumerate(training.correct)
    ]
    write_csv(paths.predictions, PREDICTION_HEADER, rows)


def write_results(name: str, **options: Any) -> Record:
    """Write the files that all stages write for one accelerator, and return its record."""
    result = record(name, **options)
    paths = ResultPaths(name)
    write_training(paths.own, result.training)
    for seed, run in result.seeds.items():
        write_training(paths.training(str(seed)), run)
    write_result(paths.environment, result.environment)
    write_result(paths.throughput, result.throughput)
    return result


def write_absent(name: str, reason: str = "no CUDA or MPS device found") -> None:
    """Write the files that all stages write for an absent accelerator."""
    paths, result = ResultPaths(name), Unavailable(accelerator=name, reason=reason)
    training = paths.own
    stages = (paths.environment, paths.throughput)
    for path in (*stages, training.result, training.timing, training.replay):
        write_result(path, result)
    for path, header in (
        (training.steps, STEP_HEADER),
        (training.epochs, EPOCH_HEADER),
        (training.predictions, PREDICTION_HEADER),
    ):
        write_csv(path, header, [])

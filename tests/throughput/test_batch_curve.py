"""The search for the fastest batch size: of a made-up GPU (`made_up_gpu.py`), and a real one."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors.user_error import UserError
from benchmark.interleave import pair, training_process
from benchmark.machine.accelerators import find
from benchmark.machine.schema import Memory
from benchmark.throughput import batch_curve
from benchmark.throughput.schema import BatchCurve
from tests import REPOSITORY
from tests.support.made_records import around

CPU = find("cpu")
WORKER = REPOSITORY / "tests/support/small_worker.py"
MADE_UP = REPOSITORY / "tests/support/made_up_gpu.py"
RATE = around(50.0, 0.01)
"""The run's own rate, which was measured before."""


@pytest.fixture
def made_up(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make up a GPU whose rate saturates: the launches of a step take as long as 64 images."""
    monkeypatch.setattr(training_process, "WORKER", MADE_UP)
    monkeypatch.setenv("LAUNCHES", "0.064")
    return monkeypatch


def measured(parameters: Any) -> BatchCurve:
    curve = batch_curve.measure(CPU, parameters, RATE, seed=7)
    assert curve
    return curve


def sizes(curve: BatchCurve) -> list[int]:
    return [point.batch_size for point in curve.points]


def tasks() -> list[tuple[int, int]]:
    """The batch size and the epochs of a pass of each task, in order."""
    lines = map(json.loads, Path("tasks.jsonl").read_text().splitlines())
    return [(t["parameters"]["data"]["batch_size"], t["epochs_per_pass"]) for t in lines]


def test_without_time_there_is_no_curve(change, workspace) -> None:
    assert batch_curve.measure(CPU, change(throughput={"curve_seconds": 0}), RATE, seed=7) is None


def test_batches_double_until_a_doubling_gains_less_than_a_twentieth(change, made_up) -> None:
    """The rate at batch size n is proportional to n / (64 + n); the last doubling gains 3 %."""
    curve = measured(change(throughput={"curve_seconds": 1e6}))
    assert sizes(curve) == [4 * 2**doubling for doubling in range(1, 10)]
    assert (curve.end, curve.reason) == ("gain", None)
    for point in curve.points:
        ratio = point.batch_size / (64 + point.batch_size) * 68 / 4
        assert point.ratio == pytest.approx(ratio)
        assert point.images_per_second == pytest.approx(50 * ratio)


def test_the_last_batch_that_gained_is_measured_again_in_new_pairs(change, made_up) -> None:
    """The highest rate of the search is that of 2,048 images: it is not the best one."""
    curve = measured(change(throughput={"curve_seconds": 1e6}))
    assert curve.best
    assert curve.best.batch_size == 1024
    assert curve.best.ratio.estimate == pytest.approx(16)
    assert curve.best.ratio.degrees == batch_curve.PAIRS - 1
    rate = curve.best.images_per_second
    assert rate.estimate == pytest.approx(800)
    assert rate.relative_width == pytest.approx(RATE.relative_width, rel=0.01)
    assert curve.best.memory == Memory(host_bytes=1000, device_bytes=1024)
    search = [(4 * 2**doubling, 2**doubling) for doubling in range(10)]
    assert tasks() == [*search, *[(4, 1), (1024, 256)] * batch_curve.PAIRS]


def test_memory_that_ends_is_a_result(change, made_up) -> None:
    made_up.setenv("MEMORY", "20")
    curve = measured(change(throughput={"curve_seconds": 1e6}))
    assert sizes(curve) == [8, 16]
    assert curve.end == "memory"
    assert "out of memory (OutOfMemoryError: CUDA out of memory.)" in curve.reason
    assert curve.best
    assert curve.best.batch_size == 16


def test_a_batch_that_would_take_longer_than_the_time_is_not_tried(change, made_up) -> None:
    curve = measured(change(throughput={"curve_seconds": 0.5}))
    assert curve == BatchCurve(points=(), end="time")
    assert tasks() == [(4, 1)]


@pytest.mark.parametrize(("launches", "gains"), [("0", [1.0]), ("0.0007", [1.08, 1.13])])
def test_a_gain_of_less_than_a_tenth_is_not_worth_another_batch(
    change, made_up, launches: str, gains: list[float]
) -> None:
    made_up.setenv("LAUNCHES", launches)
    curve = measured(change(throughput={"curve_seconds": 1e6}))
    assert [point.ratio for point in curve.points] == pytest.approx(gains, abs=0.01)
    assert (curve.end, curve.best) == ("gain", None)


def test_a_process_that_fails_ends_the_search_with_the_reason(change, made_up) -> None:
    made_up.setenv("REFUSED", "8")
    curve = measured(change(throughput={"curve_seconds": 1e6}))
    assert (sizes(curve), curve.end) == ([8], "failed")
    assert curve.reason == "a larger batch cannot be measured: The batch is odd. Take another."


def test_a_best_batch_that_cannot_be_measured_again_is_a_result(change, made_up) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise UserError("The process failed.", "Its output is above.")

    made_up.setattr(batch_curve, "measure_pairs", fails)
    curve = measured(change(throughput={"curve_seconds": 1e6}))
    assert (curve.end, curve.best) == ("failed", None)
    assert curve.reason == "The process failed. Its output is above."
    assert len(curve.points) == 9


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes", "workspace")
def test_a_real_batch_may_be_larger_than_the_training_split(change, monkeypatch, capsys) -> None:
    """There are 15 images. The rate must rise by a factor that nothing reaches."""
    monkeypatch.setattr(training_process, "WORKER", WORKER)
    monkeypatch.setattr(pair, "BLOCKS", 2)
    monkeypatch.setattr(batch_curve, "LEAST_GAIN", 1e9)
    parameters = change(throughput={"curve_seconds": 1e6}, data={"batch_size": 12})
    curve = measured(parameters)
    assert (sizes(curve), curve.end) == ([24], "gain")
    assert curve.points[0].ratio > 0
    assert "cpu batch size 24: " in capsys.readouterr().out
    best = batch_curve._measure_best(CPU, parameters, 24, RATE, seed=7)
    assert best.memory.host_bytes > 2**20
    assert 0 < best.ratio.low < best.ratio.estimate

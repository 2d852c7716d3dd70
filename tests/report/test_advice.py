"""What a reader is told to do next."""

from typing import Any

import pytest

from benchmark.report import advice, comparison
from benchmark.throughput.schema import IntervalWidth, StepShares, SweepPoint
from tests.report.golden import PARAMETERS
from tests.support.made_records import DATASET, DISTURBED, absent, around, record

WIDE = IntervalWidth(widest="trainer", width=0.07, target=0.03, seconds=240.0)
HUNGRY = StepShares(compute=around(0.7, 0.1), input=around(0.25, 0.1), lightning=around(0.05, 0.1))


def said(*own: Any) -> str:
    compared = comparison.build(own, [], {}, DATASET, PARAMETERS)
    return "\n".join(advice.steps(compared))


@pytest.mark.parametrize(
    ("measured", "line"),
    [
        ({"verdict": DISTURBED}, "cpu: the speed is unstable: end it and repeat."),
        (
            {"interval_width": WIDE},
            "cpu: for narrower intervals raise `throughput.budget_seconds`.",
        ),
        ({}, "cpu: to look for faster settings, list some in `throughput.sweep`."),
        ({}, "cpu: measure in 3 sessions and run `.venv/bin/python -m benchmark export`"),
    ],
)
def test_a_line_is_said_where_it_helps(measured: dict[str, Any], line: str) -> None:
    assert line in said(record(measured=measured))
    if measured:
        assert line not in said(record())


def test_who_waits_for_input_is_told_how_to_wait_less() -> None:
    found = record()
    trainer = found.throughput.trainer.model_copy(update={"step_shares": HUNGRY})
    line = "cpu: input takes much of a step: raise `data.num_workers`."
    assert line in said(record(measured={"trainer": trainer}))
    assert line not in said(found)


@pytest.mark.parametrize(
    ("name", "utilisation", "told"),
    [("gpu", 0.04, True), ("tpu", 0.04, True), ("gpu", 0.5, False), ("cpu", 0.04, False)],
)
def test_a_device_that_is_hardly_used_is_noticed(name: str, utilisation: float, told: bool) -> None:
    """An H200 reaches 4 % at 64 px and batch size 32; a CPU is its own host."""
    found = record(name)
    efficiency = found.throughput.efficiency
    little = efficiency.model_copy(update={"utilisation": around(utilisation, 0.1)})
    lines = said(record(name, measured={"efficiency": little}))
    line = f"{name}: 4.0% of its best rate is used; at so little a device often waits for its host"
    assert (line in lines) == told
    assert ("list some in `throughput.sweep`" in lines) != told


def test_the_fastest_setting_of_a_sweep_is_worth_an_attempt() -> None:
    """If it is faster for sure."""
    slow, fast = (
        SweepPoint(changes={"batch_size": size}, status="ok", ratio=around(ratio, 0.02))
        for size, ratio in ((16, 0.7), (64, 1.3))
    )
    line = "cpu: `batch_size 64` is 1.300 (1.274 to 1.326) times as fast: train with it too."
    assert line in said(record(measured={"sweep": (slow, fast)}))
    others = said(record(measured={"sweep": (slow,)}))
    assert "times as fast" not in others
    assert "throughput.sweep" not in others


def test_a_training_that_was_not_done_is_noticed() -> None:
    line = "cpu: the last epoch was the best one: raise `train.max_epochs`."
    assert line in said(record())
    found = record()
    result = found.training.result.model_copy(update={"best_epoch": 2})
    done = found.training.model_copy(update={"result": result})
    assert line not in said(found.model_copy(update={"training": done}))


def test_results_that_chance_may_explain_ask_for_seeds() -> None:
    apart = record("gpu", weights="v", losses=(9.0,) * 12, correct="0" * 40)
    line = "Accuracies differ by chance as well: name further `seeds`"
    assert line in said(record(), apart)
    assert line not in said(record(), record("gpu"))


def test_one_line_serves_all_that_it_is_about() -> None:
    lines = said(record(), record("gpu"), absent("tpu"), absent("xla"))
    assert "cpu, gpu: to look for faster settings" in lines
    assert lines.count("throughput.sweep") == 1
    assert "To add tpu or xla: run `make repro`" in lines


def test_where_nothing_ran_only_that_can_be_mended() -> None:
    [line] = said(absent("gpu")).splitlines()
    assert line.startswith("To add gpu:")

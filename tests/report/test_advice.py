"""Each suggestion names a parameter or a command, and appears only where it helps."""

from typing import Any

import pytest

from benchmark.report import advice, comparison
from benchmark.throughput.schema import IntervalWidth, StepShares, SweepPoint
from tests.report.golden import PARAMETERS, batch_curve
from tests.support.made_records import DATASET, DISTURBED, absent, around, record

WIDE = IntervalWidth(widest="trainer", width=0.07, target=0.03, seconds=240.0)
INPUT_BOUND = StepShares(
    compute=around(0.7, 0.1), input=around(0.25, 0.1), lightning=around(0.05, 0.1)
)


def advised(*local: Any) -> str:
    compared = comparison.build(local, [], {}, DATASET, PARAMETERS)
    return "\n".join(advice.steps(compared))


@pytest.mark.parametrize(
    ("measured", "remedy"),
    [
        ({"verdict": DISTURBED}, "end it and repeat"),
        ({"interval_width": WIDE}, "`throughput.budget_seconds`"),
        ({"trainer": INPUT_BOUND}, "`data.num_workers`"),
    ],
)
def test_a_remedy_is_named_where_it_helps(measured: dict[str, Any], remedy: str) -> None:
    if "trainer" in measured:
        trainer = record().throughput.trainer
        measured = {"trainer": trainer.model_copy(update={"step_shares": INPUT_BOUND})}
    assert remedy in advised(record(measured=measured))
    assert remedy not in advised(record())


def test_the_fastest_batch_size_is_named() -> None:
    curve = batch_curve(50, 2.0, end="memory", memory=2**30)
    lines = advised(record(measured={"curve": curve}))
    assert "`data.batch_size: 64` is 2.00 (1.96 to 2.04) times as fast" in lines
    assert "throughput.sweep" not in lines


def test_the_fastest_setting_of_a_sweep_is_named_if_its_interval_excludes_1() -> None:
    slow, fast, unsure = (
        SweepPoint(changes={"batch_size": size}, status="ok", ratio=around(ratio, 0.02))
        for size, ratio in ((16, 0.7), (64, 1.3), (48, 1.01))
    )
    assert "`batch_size 64` is 1.300 (1.274 to 1.326)" in advised(
        record(measured={"sweep": (slow, fast, unsure)})
    )
    without = advised(record(measured={"sweep": (slow, unsure)}))
    assert "`batch_size" not in without
    assert "throughput.sweep" not in without


def test_several_devices_are_not_advised() -> None:
    together = SweepPoint(changes={"devices": 2}, status="ok", ratio=around(1.8, 0.02))
    assert "devices 2" not in advised(record(measured={"sweep": (together,)}))


def test_a_training_whose_last_epoch_was_the_best_needs_more() -> None:
    assert "`train.max_epochs`" in advised(record())
    longer = record()
    result = longer.training.result.model_copy(update={"best_epoch": 2})
    training = longer.training.model_copy(update={"result": result})
    assert "`train.max_epochs`" not in advised(longer.model_copy(update={"training": training}))


def test_results_that_chance_may_explain_ask_for_seeds() -> None:
    different = record("gpu", weights="v", losses=(9.0,) * 12, correct="0" * 40)
    assert "`seeds`" in advised(record(), different)
    assert "`seeds`" not in advised(record(), record("gpu"))


def test_equal_advice_is_one_line() -> None:
    lines = advised(record(), record("gpu"), absent("tpu"), absent("xla"))
    assert "cpu, gpu: " in lines
    assert lines.count("throughput.sweep") == 1
    assert "To add tpu or xla: " in lines


def test_without_results_only_a_machine_is_advised() -> None:
    [line] = advised(absent("gpu")).splitlines()
    assert line.startswith("To add gpu:")

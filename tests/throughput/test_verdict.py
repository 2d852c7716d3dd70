from typing import Any

import pytest

from benchmark.common.statistics import Interval
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Block, WarmupSummary
from benchmark.throughput.verdict import judge, unsteady_modes
from tests.made_results import measurement

STABLE = Interval(50.0, 49.0, 51.0)
EVEN = Interval(1.0, 0.99, 1.01)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "stable"),
        ({"others": 0.3}, "unstable: other work took 30% of the processors; end it and repeat"),
        (
            {"unsteady": ["loop", "trainer"]},
            "unstable: the warm-up of loop and trainer ended before step times were steady; "
            "raise throughput.warmup_steps",
        ),
        (
            {"rate": Interval(50.0, 45.0, 51.0)},
            "unstable: the interval of the rate is 12% of the estimate wide; raise "
            "throughput.rounds or throughput.repeats, or find out what disturbs the machine",
        ),
        (
            {"ratios": {"trainer_over_loop": Interval(1.0, 0.9, 1.1)}},
            "unstable: the interval of trainer_over_loop is 20% of the estimate wide; raise "
            "throughput.rounds or throughput.repeats, or find out what disturbs the machine",
        ),
        ({"ratios": {"input_over_baseline_input": Interval(65.0, 60.0, 70.0)}}, "stable"),
        ({"floor": Interval(1.02, 1.005, 1.03)}, "stable"),
        (
            {"floor": Interval(1.05, 1.02, 1.08)},
            "unstable: the trainer against itself is 1.020 to 1.080; raise throughput.rounds",
        ),
    ],
)
def test_a_result_judges_itself(changes: dict[str, Any], verdict: str) -> None:
    facts = {"rate": STABLE, "ratios": {}, "floor": EVEN, "unsteady": [], "others": 0.01}
    found = judge(**facts | changes)
    assert str(found) == verdict
    assert found.stable == (verdict == "stable")


def warmed_up(steady: bool) -> ProcessRates:
    block = Block(seconds=1.0, compilations=0)
    warmup = {
        "trainer": WarmupSummary(steps=3, steady=steady),
        "input": WarmupSummary(steps=3, steady=False),
    }
    return ProcessRates(measurement({"trainer": [block], "input": [block]}, warmup=warmup), 1)


def test_a_warm_up_that_was_not_steady_is_named() -> None:
    """In any of the processes; a loader's comes in bursts."""
    assert unsteady_modes([warmed_up(True), warmed_up(True)]) == []
    assert unsteady_modes([warmed_up(True), warmed_up(False)]) == ["trainer"]

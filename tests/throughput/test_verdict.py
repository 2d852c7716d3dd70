from typing import Any

import pytest

from benchmark.common.statistics import Interval
from benchmark.machine.schema import GpuClocks
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Block, WarmupSummary
from benchmark.throughput.verdict import interval_width, judge, slowed_by, unsteady_modes
from tests.support.made_results import measurement

EVEN = Interval(1.0, 0.99, 1.01)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "stable"),
        ({"other_work": 0.3}, "unstable: other work took 30% of the processors; end it and repeat"),
        (
            {"unsteady": ["loop", "trainer"]},
            "unstable: the warm-up of loop and trainer ended before step times were steady; "
            "raise throughput.warmup_steps",
        ),
        ({"slowed_by": {"power limit"}}, "stable"),
        (
            {"slowed_by": {"power limit", "heat"}},
            "unstable: the GPU's clock was kept low (heat); cool it, and see to its power supply",
        ),
        ({"floor": Interval(1.02, 1.005, 1.03)}, "stable"),
        (
            {"floor": Interval(1.05, 1.02, 1.08)},
            "unstable: the trainer against itself is 1.020 to 1.080; raise throughput.rounds",
        ),
    ],
)
def test_a_result_says_what_disturbed_it(changes: dict[str, Any], verdict: str) -> None:
    undisturbed = {"floor": EVEN, "unsteady": [], "other_work": 0.0, "slowed_by": set()}
    judged = judge(**undisturbed | changes)
    assert str(judged) == verdict
    assert judged.stable == (verdict == "stable")


def test_the_widest_interval_is_named_but_for_a_loaders() -> None:
    ratios = {
        "trainer_over_loop": Interval(1.0, 0.98, 1.02),
        "input_over_baseline_input": Interval(65.0, 30.0, 70.0),
    }
    result = interval_width(Interval(50.0, 49.5, 50.5), ratios, target=0.03, seconds=9.0)
    assert (result.widest, result.met) == ("trainer_over_loop", False)
    assert result.width == pytest.approx(0.04)
    assert interval_width(Interval(50.0, 49.5, 50.5), {}, target=0.03, seconds=9.0).met


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


def test_what_slowed_a_gpu_in_any_process_counts() -> None:
    block = {"trainer": [Block(seconds=1.0, compilations=0)]}
    heat = GpuClocks(megahertz=(1200,), slowed_by=("heat",))
    processes = [ProcessRates(measurement(block, gpu_clocks=clocks), 1) for clocks in (None, heat)]
    assert slowed_by(processes) == {"heat"}
    assert slowed_by(processes[:1]) == set()

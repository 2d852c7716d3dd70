"""Steps of each mode on each accelerator, timed by pytest-benchmark: `make bench`."""

from math import ceil
from typing import Any

import pytest

from benchmark.common.parameters import Parameters
from benchmark.timing.timer import ModeTimer
from tests.throughput.bench.conftest import MODES, images_per_second, one_line


@pytest.mark.parametrize("mode", MODES)
def test_throughput(
    benchmark: Any,
    mode: str,
    mode_timer: ModeTimer,
    facts: dict[str, Any],
    rows: list[tuple[str, ...]],
    parameters: Parameters,
) -> None:
    """A round is a block of steps between two synchronised readings of the clock."""
    with one_line():
        warmup = mode_timer.warm_up(mode)
    steps = ceil(parameters.throughput.block_seconds / warmup.step_seconds)
    benchmark.group = facts["accelerator"]
    benchmark.extra_info.update(facts, mode=mode, steps=steps)
    rounds = max(3, parameters.throughput.rounds)
    block = benchmark.pedantic(mode_timer.time, args=(mode, steps), rounds=rounds, iterations=1)
    assert block.seconds > 0
    if benchmark.stats is None:  # --benchmark-disable
        return
    images = steps * parameters.data.batch_size
    low, middle, high = images_per_second(benchmark.stats.stats.data, images)
    benchmark.extra_info["images_per_second"] = {"median": middle, "low": low, "high": high}
    rate = f"{middle:,.1f} ({low:,.1f} to {high:,.1f})"
    rows.append((facts["accelerator"], facts["device"], mode, rate, f"{rounds} x {steps}"))

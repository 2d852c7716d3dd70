"""The charts' curves, labels and ticks, read from their SVG."""

import re
from math import exp

import pytest

from benchmark.report import charts
from benchmark.throughput.schema import SweepPoint
from tests.support.made_records import around

LOSSES = [4 * exp(-step / 6) for step in range(12)]


def texts(drawing: str) -> list[str]:
    return re.findall(r">([^<>]+)</text>", drawing)


def curves(drawing: str, colour: str) -> list[str]:
    """Return the paths of lines of a colour, without the short ones of a legend."""
    lines = re.findall(rf'<path d="([^"]+)"[^>]*stroke: {colour}', drawing)
    return [line for line in lines if line.count("L") > 5]


def test_a_single_loss_has_nothing_to_differ_from() -> None:
    assert not [text for text in texts(charts.losses({"cpu": LOSSES})) if "difference" in text]


def test_losses_of_several_are_shown_against_the_first() -> None:
    """The second curve differs from the first from step 6 on, the third nowhere."""
    apart = [loss * (1 if step < 6 else 1.001) for step, loss in enumerate(LOSSES)]
    drawing = charts.losses({"cpu": LOSSES, "gpu": apart, "xla:cpu": LOSSES})
    assert "difference to cpu" in texts(drawing)
    assert len(curves(drawing, "#0072b2")) == 2  # raw and smoothed
    *_, difference = curves(drawing, "#d55e00")
    heights = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", difference)]
    assert len(set(heights[:6])) == 1
    assert all(height < heights[0] for height in heights[6:])
    *_, same = curves(drawing, "#009e73")
    assert len(set(re.findall(r"[ML] [\d.]+ ([\d.]+)", same))) == 1


def test_equal_losses_have_a_place_on_the_scale() -> None:
    assert "difference to cpu" in texts(charts.losses({"cpu": LOSSES, "xla:cpu": LOSSES}))


def test_each_accelerator_has_its_own_sweep_and_lost_memory_is_marked() -> None:
    good = SweepPoint(changes={"batch_size": 16}, status="ok", images_per_second=around(9.0, 0.01))
    lost = SweepPoint(changes={"batch_size": 32}, status="out of memory", reason="much")
    other = SweepPoint(changes={"batch_size": 48}, status="failed", reason="no")
    drawing = charts.sweep({"cpu": [], "gpu": [lost, good], "tpu": [good, other]})
    assert [t for t in texts(drawing) if t in ("cpu", "gpu", "tpu")] == ["gpu", "tpu"]
    assert texts(drawing).count("the run's own otherwise") == 2
    assert drawing.count("M -3 3 \nL 3 -3 \nM -3 -3 \nL 3 3") == 1


@pytest.mark.parametrize("count", [3, charts.MOST_CLASS_NAMES, charts.MOST_CLASS_NAMES + 1])
def test_classes_are_named_where_there_is_room(count: int) -> None:
    drawing = charts.classes([(f"class {k}", k, count) for k in range(count)])
    named = [text for text in texts(drawing) if text.startswith("class")]
    assert len(named) == (count if count <= charts.MOST_CLASS_NAMES else 0)


@pytest.mark.parametrize("medians", [(4e-4, 0.02, 30.0), (0.5,), (0.02, 0.021)])
def test_steps_of_all_speeds_have_ticks_that_do_not_touch(medians: tuple[float, ...]) -> None:
    """This must also be true if no round time lies between the fastest and the slowest step."""
    parts = {f"p{percent}": 0.9 + percent / 500 for percent in (5, 25, 50, 75, 95)}
    times = {f"{x}": {name: x * part for name, part in parts.items()} for x in medians}
    ticks = [
        text for text in texts(charts.steps(times)) if re.fullmatch(r"[\d.]+ (ms|s|min|h)", text)
    ]
    assert 3 <= len(ticks) <= charts.TICKS

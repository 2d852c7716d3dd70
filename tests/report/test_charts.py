"""The charts' curves, labels and ticks, read from their SVG."""

import re
from math import exp

import pytest

from benchmark.common.statistics import Interval
from benchmark.report import charts, entries
from benchmark.throughput.schema import ModeRate, SweepPoint
from tests.report.golden import batch_curve
from tests.support.made_records import around, record

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
    assert drawing.count("M -3 3\nL 3 -3\nM -3 -3\nL 3 3") == 1


def test_the_curve_of_each_accelerator_is_drawn_to_the_end_of_memory() -> None:
    measured = {
        "cpu": record(measured={"curve": batch_curve(50, end="time")}).throughput,
        "gpu": record(measured={"curve": batch_curve(50, *(2,) * 10, end="memory")}).throughput,
    }
    drawing = charts.curve(measured)
    assert {"cpu", "gpu", "32", "8,192", "10,000", "out of memory"} <= {*texts(drawing)}
    assert len(curves(drawing, "#d55e00")) == 1
    assert texts(charts.curve({"cpu": measured["cpu"]})).count("out of memory") == 0


@pytest.mark.parametrize("count", [3, charts.MOST_CLASS_NAMES, charts.MOST_CLASS_NAMES + 1])
def test_classes_are_named_where_there_is_room(count: int) -> None:
    drawing = charts.classes([(f"class {k}", k, count) for k in range(count)])
    named = [text for text in texts(drawing) if text.startswith("class")]
    assert len(named) == (count if count <= charts.MOST_CLASS_NAMES else 0)


PLANTS = (
    "Orange___Haunglongbing_(Citrus_greening)", "Grape___Leaf_blight_(Isariopsis_Leaf_Spot)",
    "Tomato___Tomato_Yellow_Leaf_Curl_Virus", "Tomato___healthy",
    "Tomato___Spider_mites Two-spotted_spider_mite", "Corn_(maize)___Northern_Leaf_Blight",
    "Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot", "Cherry_(including_sour)___healthy",
)  # fmt: skip
SAME_ENDS = tuple(f"{'a' * 40}{middle}{'b' * 40}" for middle in ("x", "y", "yy"))


@pytest.mark.parametrize("names", [PLANTS, SAME_ENDS, ("猫" * 40, "猫" * 41), ("a" * 255,)])
def test_long_names_are_cut_in_the_middle_and_stay_distinct(names: tuple[str, ...]) -> None:
    drawing = charts.classes([(name, 1, 2) for name in names])
    written = [text for text in texts(drawing) if not text.endswith("%") and text != "recall"]
    assert len(written) == len({*written}) == len(names)
    for text, name in zip(written, names, strict=True):
        start, cut, end = text.partition("…")
        assert name.startswith(start)
        assert name.endswith(end)
        assert (text == name) == (not cut)
    assert "Orange___Haunglon…Citrus_greening)" in written or names is not PLANTS


def test_long_names_of_devices_and_machines_stay_distinct() -> None:
    """Two machines have equal devices and the same first digits."""
    bars = {
        f"cpu on {machine}": entries.build(
            record(machine=machine, device="Accelerator" * 5), record(), None, 0.6
        )
        for machine in ("1234aa", "1234ab")
    }
    written = [text for text in texts(charts.throughput(bars, "cpu")) if "cpu" in text]
    assert len({*written}) == 2
    assert all(text.startswith("AcceleratorAccele…") for text in written)


@pytest.mark.parametrize(("high", "words"), [(5.0, "3.0 (0.1 to 5.0)"), (100.0, "3 (0.1 to 100)")])
def test_an_interval_wider_than_the_rate_is_named(high: float, words: str) -> None:
    """It also stays within the chart, unless it is so wide that no bar would be seen."""
    modes = {"trainer": ModeRate(images_per_second=Interval(3.0, 0.1, high, 1))}
    wide = record(measured={"modes": modes})
    drawing = charts.throughput({"cpu": entries.build(wide, wide, None, 0.6)}, "cpu")
    ends = r'id="{}">\s*<path d="M [\d.]+ [\d.]+\s*L ([\d.]+) '
    [interval], [right] = (
        re.findall(ends.format(name), drawing) for name in ("LineCollection_1", "patch_2")
    )
    assert (float(interval) < 0.8 * float(right)) == (high == 5)
    assert words in texts(drawing)


@pytest.mark.parametrize("medians", [(4e-4, 0.02, 30.0), (0.5,), (0.02, 0.021)])
def test_steps_of_all_speeds_have_ticks_that_do_not_touch(medians: tuple[float, ...]) -> None:
    """This must also be true if no round time lies between the fastest and the slowest step."""
    parts = {f"p{percent}": 0.9 + percent / 500 for percent in (5, 25, 50, 75, 95)}
    times = {f"{x}": {name: x * part for name, part in parts.items()} for x in medians}
    ticks = [
        text for text in texts(charts.steps(times)) if re.fullmatch(r"[\d.]+ (ms|s|min|h)", text)
    ]
    assert 3 <= len(ticks) <= charts.TICKS

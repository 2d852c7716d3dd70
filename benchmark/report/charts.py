"""The report's charts, as SVG that is the same whenever it is drawn from the same numbers."""

import io
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from textwrap import shorten

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)

from benchmark.common import numbers
from benchmark.common.numbers import duration
from benchmark.common.statistics import Interval
from benchmark.errors.user_error import visible
from benchmark.report.comparison import named
from benchmark.report.entries import CONTROL, elapsed
from benchmark.report.schema import Comparison, Entry, Record, TrainingRecord
from benchmark.throughput.schema import SweepPoint

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Told apart by colour-blind readers (Okabe and Ito, 2008)."""
LINES = ("-", "--", ":", "-.")
"""As many as there are colours: a print in black and white tells them apart too."""
WIDTH = 6.4
"""Of a figure, in inches: its text is still read where it is 500 pixels wide."""
FEW = 8
"""Bars that may take their room."""
LONG = 34
"""Letters of a bar's name."""
NAMED = 60
"""Classes whose names find room below a chart."""
SMOOTHING = 0.9
FINEST = 1e-7
"""Difference of losses below which the scale is linear, so that 0 has a place."""
TIMES = (
    *(unit * step for unit in (1e-4, 1e-3, 1e-2, 1e-1) for step in (1, 2, 5)),
    *(1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
)
"""Seconds that stand on an axis of times."""
TICKS = 8
"""As many find room."""
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.10g}")
OUT_OF_MEMORY = "out of memory"
SWEPT = ("precision", "channels_last", "compile", "num_workers", "deterministic")
"""What a sweep may vary besides the batch size and the devices."""


def draw(
    present: Sequence[Record],
    runs: Mapping[str, TrainingRecord],
    compared: Comparison,
    recalls: Sequence[tuple[str, int, int]],
) -> dict[str, str]:
    """Every chart by name, as SVG.

    Args:
        present: this machine's accelerators that are there, the reference first.
        runs: what `trainings` made of them and of their controls.
        compared: what comparison.build made of them and of other machines'.
        recalls: classes of the reference in the order to show: name, found, and images.
    """
    return {
        "throughput": throughput(bars(compared), compared.reference),
        "loss": losses({record.label: record.training.losses for record in present}),
        "accuracy": accuracies(
            {label: (elapsed(each), each.accuracies) for label, each in runs.items()},
            compared.target_accuracy,
        ),
        "steps": steps(
            {record.label: record.throughput.trainer.step_seconds for record in present}
        ),
        "sweep": sweep(_points(compared, several=False)),
        "scaling": scaling(_points(compared, several=True), _own_rates(compared)),
        "classes": classes(recalls),
    }


def _points(compared: Comparison, *, several: bool) -> dict[str, list[SweepPoint]]:
    """Each accelerator's points of one device, or of several."""
    return {
        entry.label: [p for p in entry.throughput.sweep if (p.devices > 1) == several]
        for entry in compared.present
    }


def _own_rates(compared: Comparison) -> dict[str, float]:
    return {entry.label: entry.rate.estimate for entry in compared.present}


def trainings(
    present: Sequence[Record], controls: Mapping[str, TrainingRecord]
) -> dict[str, TrainingRecord]:
    """Those of the run's own seed and their controls, by name."""
    return {record.label: record.training for record in present} | {
        f"{record.label}, {CONTROL}": controls[record.name]
        for record in present
        if record.name in controls
    }


def bars(comparison: Comparison) -> dict[str, Entry]:
    """By name, the reference and all that did the same work, the fastest first."""
    entries = named(comparison.accelerators, comparison.machines)
    alike = {n: entry for n, entry in entries.items() if not entry.throughput.not_compared}
    return dict(sorted(alike.items(), key=lambda item: -item[1].rate.estimate))


def throughput(entries: Mapping[str, Entry], reference: str | None) -> str:
    """Bars of images per second with their intervals, and how often each rate holds that of the
    reference."""
    figure, (axes,) = _figure(0.8 + (0.5 if len(entries) <= FEW else 0.28) * max(len(entries), 1))
    known = entries.get(reference or "")
    for place, (name, entry) in enumerate(entries.items()):
        rate = entry.rate
        error = [[rate.estimate - rate.low], [rate.high - rate.estimate]]
        colour = COLOURS[0 if name == entry.label else 1]
        axes.barh(place, rate.estimate, 0.6, xerr=error, capsize=3, color=colour, ecolor="black")
        axes.annotate(
            _beside(rate, known.rate if known and name != reference else None),
            (rate.high, place), (6, 0), va="center",
            textcoords="offset points",
        )  # fmt: skip
    axes.set_yticks(range(len(entries)), [_of_device(*item) for item in entries.items()])
    axes.set_ylim(max(len(entries), 1) - 0.5, -0.5)
    axes.set_xlim(0, 1.45 * max((entry.rate.estimate for entry in entries.values()), default=1))
    axes.xaxis.set_major_formatter(THOUSANDS)
    elsewhere = any(name != entry.label for name, entry in entries.items())
    axes.set_xlabel("training images/s" + (" (blue: this machine)" if elsewhere else ""))
    return _svg(figure)


def _of_device(name: str, entry: Entry) -> str:
    """What an accelerator is called below another: of another machine's, its id's beginning."""
    machine = "" if name == entry.label else f" {entry.machine[:4]}"
    return _plain(f"{shorten(entry.device, LONG, placeholder=' …')}, {entry.label}{machine}")


def _beside(rate: Interval, reference: Interval | None) -> str:
    said = numbers.estimate(rate)
    if reference is None:
        return said
    return f"{said}  ({numbers.number(rate.estimate / reference.estimate)} ×)"


def losses(curves: Mapping[str, Sequence[float]]) -> str:
    """Training loss against steps: thin as it was, thick as its running mean; below, where there
    are several, how far each is from the first."""
    several = len(curves) > 1
    figure, axes = _figure(5.4 if several else 3.4, 2 if several else 1)
    for (label, values), colour, line in zip(curves.items(), *_styles(), strict=False):
        steps = range(1, len(values) + 1)
        axes[0].plot(steps, values, color=colour, alpha=0.45, linewidth=0.8)
        axes[0].plot(steps, _smooth(values), color=colour, linestyle=line, label=_plain(label))
    axes[0].set_ylabel("training loss")
    if several:
        _differences(axes[1], curves)
    axes[-1].set_xlabel("step")
    return _svg(figure)


def _differences(axes: Axes, curves: Mapping[str, Sequence[float]]) -> None:
    """Of each curve from the first, on a scale that has a place for none."""
    (first, reference), *others = curves.items()
    colours, lines = _styles()
    next(colours), next(lines)
    for (_, values), colour, line in zip(others, colours, lines, strict=False):
        apart = [abs(one - other) for one, other in zip(reference, values, strict=False)]
        axes.plot(range(1, len(apart) + 1), apart, color=colour, linestyle=line)
    axes.set_yscale("symlog", linthresh=FINEST)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(FixedLocator([0, 1e-6, 1e-4, 1e-2, 1]))
    axes.set_ylabel(f"difference to {_plain(first)}")


def accuracies(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], target: float) -> str:
    """The race to the target: validation accuracy after each epoch against the wall time until
    then, on a scale that shows seconds and hours alike."""
    figure, (axes,) = _figure(3.4)
    for (label, course), colour, line in zip(curves.items(), *_styles(), strict=False):
        axes.plot(*course, color=colour, linestyle=line, marker="o", label=_plain(label))
    axes.axhline(target, color="grey", linestyle=":", linewidth=1)
    if curves:
        _times(axes, [second for seconds, _ in curves.values() for second in seconds])
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("time of training (logarithmic); dotted: the target")
    axes.set_ylabel("validation accuracy")
    return _svg(figure)


def _times(axes: Axes, seconds: Sequence[float]) -> None:
    """A scale that shows milliseconds and hours alike, with round times from the least to the most
    and one more at each side; with closer ones if these are too few."""
    first, last = bisect_right(TIMES, min(seconds)) - 1, bisect_left(TIMES, max(seconds))
    ticks = TIMES[max(first, 0) : last + 1]
    thinned = FixedLocator(ticks[:: -(-len(ticks) // TICKS)])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(thinned if len(ticks) > 3 else MaxNLocator(5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _round_time(value)))


def _round_time(seconds: float) -> str:
    """Without a second unit that would be 0."""
    return re.sub(r"\.0+(?= )| 0 (s|min)$", "", duration(seconds))


def steps(percentiles: Mapping[str, Mapping[str, float]]) -> str:
    """Boxes of the times of single steps: 5th, 25th, 50th, 75th and 95th percentile."""
    known = {label: found for label, found in percentiles.items() if found}
    figure, (axes,) = _figure(1 + 0.5 * max(len(known), 1))
    boxes = [
        {
            "label": _plain(label), "med": found["p50"], "q1": found["p25"], "q3": found["p75"],
            "whislo": found["p5"], "whishi": found["p95"],
        }
        for label, found in known.items()
    ]  # fmt: skip
    if boxes:
        axes.bxp(boxes, orientation="horizontal", showfliers=False, widths=0.5)
        axes.invert_yaxis()
        _times(axes, [found[end] for found in known.values() for end in ("p5", "p95")])
    axes.set_xlabel("time of a training step: median, quartiles, 5% and 95%")
    return _svg(figure)


def sweep(points: Mapping[str, Sequence[SweepPoint]]) -> str:
    """Images per second against the batch size: a panel for each accelerator, a line for each
    combination of what else was varied, a cross for what was out of memory."""
    swept = {label: found for label, found in points.items() if found}
    if not swept:
        return _svg(Figure(figsize=(WIDTH, 1)))  # no page shows it
    figure, panels = _figure(0.4 + 3 * len(swept), len(swept))
    for axes, (label, found) in zip(panels, swept.items(), strict=False):
        for (name, line), *style in zip(
            _by_setting(found, *SWEPT).items(), *_styles(), strict=False
        ):
            _swept(axes, name, {_size(point): point for point in line}, *style)
        _sizes(axes, label, [_size(point) for point in found])
    panels[-1].set_xlabel("batch size")
    return _svg(figure)


def scaling(points: Mapping[str, Sequence[SweepPoint]], own: Mapping[str, float]) -> str:
    """Images per second of all devices together against their number: a panel for each
    accelerator, a line for each combination of what else was varied, and one, dotted, of so many
    times what one device does with the run's own settings (`own`)."""
    swept = {label: found for label, found in points.items() if found}
    if not swept:
        return _svg(Figure(figsize=(WIDTH, 1)))  # no page shows it
    figure, panels = _figure(0.4 + 3 * len(swept), len(swept))
    for axes, (label, found) in zip(panels, swept.items(), strict=False):
        counts = sorted({1, *(point.devices for point in found)})
        ideal = [own[label] * count for count in counts]
        axes.plot(counts, ideal, ":", color="grey", label="the run's own, times devices")
        for (name, line), *style in zip(
            _by_setting(found, "batch_size", *SWEPT).items(), *_styles(), strict=False
        ):
            _swept(axes, name, {point.devices: point for point in line}, *style)
        _sizes(axes, label, counts)
    panels[-1].set_xlabel("devices")
    return _svg(figure)


def _sizes(axes: Axes, label: str, sizes: Sequence[int]) -> None:
    """Axes of an accelerator's rates against `sizes`."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.set_title(_plain(label), loc="left", fontsize="medium")
    axes.set_ylabel("training images/s")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(THOUSANDS)


def _size(point: SweepPoint) -> int:
    return int(point.changes["batch_size"])


def _by_setting(points: Sequence[SweepPoint], *settings: str) -> dict[str, list[SweepPoint]]:
    """Points in the order of their devices and batch sizes, by `settings`."""
    lines: dict[str, list[SweepPoint]] = {}
    for point in sorted(points, key=lambda point: (point.devices, _size(point))):
        others = (f"{name} {point.changes[name]}" for name in settings if name in point.changes)
        lines.setdefault(", ".join(others), []).append(point)
    return lines


def _swept(axes: Axes, name: str, points: Mapping[int, SweepPoint], colour: str, line: str) -> None:
    """One line, of points by where they stand on the x axis."""
    rates = {size: point.images_per_second for size, point in points.items()}
    known = {size: rate for size, rate in rates.items() if rate}
    middle = [rate.estimate for rate in known.values()]
    low = [rate.estimate - rate.low for rate in known.values()]
    high = [rate.high - rate.estimate for rate in known.values()]
    axes.errorbar(
        [*known], middle, [low, high], color=colour, linestyle=line, marker="o", capsize=3,
        label=_plain(name) or "the run's own otherwise",
    )  # fmt: skip
    for size in (size for size, point in points.items() if point.status == OUT_OF_MEMORY):
        place = axes.get_xaxis_transform()
        axes.plot(size, 0.05, "x", color=colour, transform=place)
        axes.annotate(
            OUT_OF_MEMORY, (size, 0.05), (-7, 0), xycoords=place, textcoords="offset points",
            ha="right", va="center", fontsize="small",
        )  # fmt: skip


def classes(recalls: Sequence[tuple[str, int, int]]) -> str:
    """A bar for each class: the part of its images that are found."""
    named = len(recalls) <= NAMED
    figure, (axes,) = _figure(3.4 if named else 2.4)
    parts = [right / images for _, right, images in recalls]
    axes.bar(range(len(parts)), parts, 0.8 if named else 1.0, color=COLOURS[0])
    axes.set_xlim(-0.6, max(len(parts), 1) - 0.4)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("recall")
    names = [_plain(shorten(name, LONG, placeholder=" …")) for name, _, _ in recalls]
    axes.set_xticks(range(len(names)) if named else [], names if named else [])
    axes.tick_params(axis="x", labelrotation=90, labelsize=7, length=0)
    return _svg(figure)


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential running mean, corrected for its start (as Adam's moments are)."""
    mean, weight, smoothed = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smoothed.append(mean / weight)
    return smoothed


def _styles() -> tuple[Iterator[str], Iterator[str]]:
    """Colours and kinds of lines without end."""
    return cycle(COLOURS), cycle(LINES)


def _plain(text: str) -> str:
    """Without matplotlib's mathematics, which a pair of dollar signs would begin, and without what
    XML cannot hold."""
    return visible(text).replace("$", r"\$")


def _figure(height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = [*figure.subplots(panels, squeeze=False)[:, 0]]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    for axes in figure.axes:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "benchmark", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    return buffer.getvalue().decode()

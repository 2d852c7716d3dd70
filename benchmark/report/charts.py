"""The report's charts, as SVG: equal numbers always give equal bytes."""

import io
import re
import warnings
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from unicodedata import east_asian_width

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
from benchmark.common.formatting import tidy
from benchmark.common.numbers import duration
from benchmark.errors.user_error import visible
from benchmark.report.comparison_schema import Comparison, Entry
from benchmark.report.entries import CONTROL, by_name, elapsed
from benchmark.report.record import Recall
from benchmark.report.schema import Record, TrainingRecord
from benchmark.throughput.schema import SweepPoint, Throughput

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Colours that colour-blind readers can distinguish (Okabe and Ito, 2008)."""
LINES = ("-", "--", ":", "-.")
"""A line style for each colour: a print in black and white needs them."""
WIDTH = 6.4
"""Width of a figure in inches. Its text is readable if the page shows it 500 pixels wide."""
FEW = 8
"""Largest number of bars that are drawn wide."""
LONG = 34
"""Largest number of characters of a bar's name, unless it needs more to be distinct."""
MACHINE_DIGITS = 4
"""Smallest number of digits of a machine's id in a bar's name."""
MOST_REACH = 4
"""Rates of the fastest bar that fit on its axis: the interval of a rate may be far wider."""
LABEL_INCHES = 0.06
"""Height of a character of a class's name."""
MOST_CLASS_NAMES = 60
"""Largest number of classes whose names fit below a chart."""
SMOOTHING = 0.9
"""Weight of the previous mean in the running mean of the loss."""
FINEST = 1e-7
"""Difference of losses below which the scale is linear, since a logarithmic one has no 0."""
TIMES = (
    *(unit * step for unit in (1e-4, 1e-3, 1e-2, 1e-1) for step in (1, 2, 5)),
    *(1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
)
"""Seconds of possible ticks on an axis of times."""
TICKS = 8
"""Ticks that fit on an axis of times."""
MOST_SIZES = 8
"""Batch sizes that fit on an axis."""
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.10g}")
OUT_OF_MEMORY = "out of memory"
SWEPT = ("precision", "channels_last", "compile", "num_workers", "deterministic")
"""What a sweep may vary, apart from the batch size and the devices."""


def draw(
    present: Sequence[Record],
    runs: Mapping[str, TrainingRecord],
    comparison: Comparison,
    recalls: Sequence[Recall],
) -> dict[str, str]:
    """Draw every chart and return the SVG by chart name.

    Args:
        present: this machine's records, the reference first.
        runs: their trainings and controls, from `training_curves`.
        comparison: the comparison of all records.
        recalls: the recalls of the reference's classes, in the order of the bars.
    """
    measured = {entry.label: entry.throughput for entry in comparison.present}
    points = {label: throughput.sweep for label, throughput in measured.items()}
    return {
        "throughput": throughput(bars(comparison), comparison.reference),
        "loss": losses({record.label: record.training.losses for record in present}),
        "accuracy": accuracies(
            {name: (elapsed(run), run.accuracies) for name, run in runs.items()},
            comparison.target_accuracy,
        ),
        "steps": steps({label: t.trainer.step_seconds for label, t in measured.items()}),
        "curve": curve(
            {name: e.throughput for name, e in bars(comparison).items() if e.throughput.curve}
        ),
        "sweep": sweep(points),
        "scaling": scaling(
            points, {label: t.images_per_second.estimate for label, t in measured.items()}
        ),
        "classes": classes(recalls),
    }


def training_curves(
    present: Sequence[Record], controls: Mapping[str, TrainingRecord]
) -> dict[str, TrainingRecord]:
    """Return the trainings with the run's own seed, and their controls, by name."""
    return {record.label: record.training for record in present} | {
        f"{record.label}, {CONTROL}": controls[record.name]
        for record in present
        if record.name in controls
    }


def bars(comparison: Comparison) -> dict[str, Entry]:
    """Return the reference and all entries of equal workloads, by name, the fastest first."""
    entries = by_name(comparison.accelerators, comparison.machines)
    compared = {n: e for n, e in entries.items() if not e.relative_speed.not_compared}
    return dict(
        sorted(compared.items(), key=lambda item: -item[1].throughput.images_per_second.estimate)
    )


def throughput(entries: Mapping[str, Entry], reference: str | None) -> str:
    """Draw bars of images per second with 95% intervals and their ratio to the reference.

    A bar of another machine has the first 4 digits of the machine's id.
    """
    figure, (axes,) = _figure(0.8 + (0.5 if len(entries) <= FEW else 0.28) * max(len(entries), 1))
    rates = {name: entry.throughput.images_per_second for name, entry in entries.items()}
    fastest = max((rate.estimate for rate in rates.values()), default=1)
    reach = max((min(rate.high, MOST_REACH * fastest) for rate in rates.values()), default=1)
    for place, (name, rate) in enumerate(rates.items()):
        error = [[rate.estimate - rate.low], [rate.high - rate.estimate]]
        colour = COLOURS[0 if name == entries[name].label else 1]
        axes.barh(place, rate.estimate, 0.6, xerr=error, capsize=3, color=colour, ecolor="black")
        words = numbers.brief(rate)
        if reference in rates and name != reference and words == numbers.estimate(rate):
            words += f"  ({numbers.number(rate.estimate / rates[reference].estimate)} ×)"
        end = min(rate.high, reach), place
        axes.annotate(words, end, (6, 0), va="center", textcoords="offset points")
    axes.set_yticks(range(len(entries)), map(_escape, _bar_names(entries)))
    axes.set_ylim(max(len(entries), 1) - 0.5, -0.5)
    axes.set_xlim(0, max(1.45 * fastest, 1.35 * reach))
    axes.xaxis.set_major_formatter(THOUSANDS)
    elsewhere = any(name != entry.label for name, entry in entries.items())
    axes.set_xlabel("training images/s" + (" (blue: this machine)" if elsewhere else ""))
    return _svg(figure)


def _bar_names(entries: Mapping[str, Entry]) -> list[str]:
    machines = {entry.machine for entry in entries.values()}
    digits = MACHINE_DIGITS
    while len({machine[:digits] for machine in machines}) < len(machines):
        digits += 1
    devices = distinct([entry.device for entry in entries.values()])
    return [
        f"{device}, {entry.label}{'' if name == entry.label else f' {entry.machine[:digits]}'}"
        for device, (name, entry) in zip(devices, entries.items(), strict=True)
    ]


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with an ellipsis in the middle of each that is longer than LONG.

    Different names stay different: those that would become equal keep more characters.
    """
    lengths = dict.fromkeys(names, LONG)
    while True:
        shortened = {name: _shorten(name, length) for name, length in lengths.items()}
        counts = Counter(shortened.values())
        equal = [name for name, words in shortened.items() if counts[words] > 1]
        if not equal:
            return [shortened[name] for name in names]
        lengths |= {name: lengths[name] + 1 for name in equal}


def _shorten(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    end = (length - 1) // 2
    return f"{name[: length - 1 - end]}…{name[-end:]}"


def losses(curves: Mapping[str, Sequence[float]]) -> str:
    """Draw the training loss against steps: raw (thin) and its running mean (thick).

    With several curves, a second panel draws the absolute difference of each to the first, on a
    scale that includes 0.
    """
    several, first = len(curves) > 1, next(iter(curves), "")
    figure, axes = _figure(5.4 if several else 3.4, 2 if several else 1)
    for (label, values), (colour, line) in zip(curves.items(), _styles(), strict=False):
        steps = range(1, len(values) + 1)
        axes[0].plot(steps, values, color=colour, alpha=0.45, linewidth=0.8)
        axes[0].plot(steps, _smooth(values), color=colour, linestyle=line, label=_escape(label))
        if label != first:
            pairs = zip(curves[first], values, strict=False)
            differences = [abs(one - other) for one, other in pairs]
            axes[1].plot(steps[: len(differences)], differences, color=colour, linestyle=line)
    axes[0].set_ylabel("training loss")
    if several:
        axes[1].set_yscale("symlog", linthresh=FINEST)
        axes[1].set_ylim(bottom=0)
        axes[1].yaxis.set_major_locator(FixedLocator([0, 1e-6, 1e-4, 1e-2, 1]))
        axes[1].set_ylabel(f"difference to {_escape(first)}")
    axes[-1].set_xlabel("step")
    return _svg(figure)


def accuracies(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], target: float) -> str:
    """Draw validation accuracy after each epoch against the wall time until then.

    Args:
        curves: seconds and accuracies, one of each per epoch, by name.
        target: the target accuracy, drawn as a dotted line.
    """
    figure, (axes,) = _figure(3.4)
    for (label, curve), (colour, line) in zip(curves.items(), _styles(), strict=False):
        axes.plot(*curve, color=colour, linestyle=line, marker="o", label=_escape(label))
    axes.axhline(target, color="grey", linestyle=":", linewidth=1)
    if curves:
        _set_time_scale(axes, [second for seconds, _ in curves.values() for second in seconds])
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("time of training (logarithmic); dotted: the target")
    axes.set_ylabel("validation accuracy")
    return _svg(figure)


def _set_time_scale(axes: Axes, seconds: Sequence[float]) -> None:
    """Make the x axis logarithmic, with round times around all `seconds` as its ticks.

    If there are fewer than four round times, matplotlib chooses closer ticks.
    """
    first, last = bisect_right(TIMES, min(seconds)) - 1, bisect_left(TIMES, max(seconds))
    ticks = TIMES[max(first, 0) : last + 1]
    thinned = FixedLocator(ticks[:: -(-len(ticks) // TICKS)])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(thinned if len(ticks) > 3 else MaxNLocator(5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _round_time(value)))


def _round_time(seconds: float) -> str:
    """Format a duration without zero decimals and without a second unit of 0."""
    return re.sub(r"\.0+(?= )| 0 (s|min)$", "", duration(seconds))


def steps(percentiles: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a box for each accelerator: percentiles 5, 25, 50, 75 and 95 of its step times."""
    measured = {label: times for label, times in percentiles.items() if times}
    figure, (axes,) = _figure(1 + 0.5 * max(len(measured), 1))
    boxes = [
        {
            "label": _escape(label), "med": times["p50"], "q1": times["p25"], "q3": times["p75"],
            "whislo": times["p5"], "whishi": times["p95"],
        }
        for label, times in measured.items()
    ]  # fmt: skip
    if boxes:
        axes.bxp(boxes, orientation="horizontal", showfliers=False, widths=0.5)
        axes.invert_yaxis()
        _set_time_scale(axes, [times[end] for times in measured.values() for end in ("p5", "p95")])
    axes.set_xlabel("time of a training step: median, quartiles, 5% and 95%")
    return _svg(figure)


def curve(measured: Mapping[str, Throughput]) -> str:
    """Draw images per second against the batch size, a line for each accelerator.

    Both axes are logarithmic. Squares have an interval: the rate of the run, and the rate at the
    fastest batch size. A cross marks a batch that was out of memory.
    """
    figure, (axes,) = _figure(3.8)
    sizes: set[int] = set()
    for (name, throughput), (colour, style) in zip(measured.items(), _styles(), strict=False):
        batches = throughput.curve
        assert batches
        rates = {throughput.workload.batch_size: throughput.images_per_second.estimate}
        rates |= {point.batch_size: point.images_per_second for point in batches.points}
        axes.plot(
            [*rates], [*rates.values()], color=colour, linestyle=style, marker="o", markersize=4,
            label=_escape(name),
        )  # fmt: skip
        bars = {throughput.workload.batch_size: throughput.images_per_second}
        if batches.best:
            bars[batches.best.batch_size] = batches.best.images_per_second
        low = [rate.estimate - rate.low for rate in bars.values()]
        high = [rate.high - rate.estimate for rate in bars.values()]
        estimates = [rate.estimate for rate in bars.values()]
        axes.errorbar([*bars], estimates, [low, high], fmt="s", color=colour, capsize=4)
        sizes |= {*rates}
        if batches.end == "memory":
            lost, last = 2 * max(rates), rates[max(rates)]
            sizes.add(lost)
            axes.plot(lost, last, "x", color=colour, markersize=8)
            axes.annotate(
                OUT_OF_MEMORY, (lost, last), (6, 8), textcoords="offset points", ha="right",
                fontsize="small",
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted(sizes)
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // MOST_SIZES) or 1]))
    axes.xaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(THOUSANDS)
    axes.set_xlabel("batch size")
    axes.set_ylabel("training images/s")
    return _svg(figure)


def sweep(points: Mapping[str, Sequence[SweepPoint]]) -> str:
    """Draw images per second on one device against the batch size.

    Each accelerator has a panel, and each combination of the other settings a line. A cross marks
    a point that was out of memory.
    """
    single = {label: [p for p in swept if p.devices == 1] for label, swept in points.items()}
    return _panels(single, _batch_size, SWEPT, "batch size", {})


def scaling(points: Mapping[str, Sequence[SweepPoint]], rates: Mapping[str, float]) -> str:
    """Return an SVG: images per second of all devices together against the number of devices.

    Panels and lines are as in `sweep`. The dotted line is the number of devices times the rate of
    the run's own settings, from `rates`.
    """
    several = {label: [p for p in swept if p.devices > 1] for label, swept in points.items()}
    return _panels(several, lambda point: point.devices, ("batch_size", *SWEPT), "devices", rates)


def _panels(
    points: Mapping[str, Sequence[SweepPoint]],
    x: Callable[[SweepPoint], int],
    settings: Sequence[str],
    xlabel: str,
    rates: Mapping[str, float],
) -> str:
    """Draw a panel for each accelerator that has points, and a line for each value of `settings`.

    `x` returns a point's place on the x axis. Multiples of `rates` are drawn as a dotted line.
    """
    measured = {label: swept for label, swept in points.items() if swept}
    if not measured:
        return _svg(Figure(figsize=(WIDTH, 1)))  # no page contains it
    figure, panels = _figure(0.4 + 3 * len(measured), len(measured))
    for axes, (label, swept) in zip(panels, measured.items(), strict=True):
        sizes = [x(point) for point in swept]
        if label in rates:
            sizes = sorted({1, *sizes})
            ideal = [rates[label] * count for count in sizes]
            axes.plot(sizes, ideal, ":", color="grey", label="the run's own, times devices")
        lines: dict[str, dict[int, SweepPoint]] = {}
        for point in sorted(swept, key=lambda point: (point.devices, _batch_size(point))):
            names = [name for name in settings if name in point.changes]
            setting = ", ".join(f"{name} {point.changes[name]}" for name in names)
            lines.setdefault(setting, {})[x(point)] = point
        for (name, line), (colour, style) in zip(lines.items(), _styles(), strict=False):
            _draw_line(axes, name, line, colour, style)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.set_title(_escape(label), loc="left", fontsize="medium")
        axes.set_ylabel("training images/s")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(THOUSANDS)
    panels[-1].set_xlabel(xlabel)
    return _svg(figure)


def _batch_size(point: SweepPoint) -> int:
    return int(point.changes["batch_size"])


def _draw_line(
    axes: Axes, name: str, points: Mapping[int, SweepPoint], colour: str, style: str
) -> None:
    """Draw one line of rates with intervals, and a cross where memory was too small.

    The keys of `points` are their places on the x axis.
    """
    rates = {
        size: point.images_per_second for size, point in points.items() if point.images_per_second
    }
    low = [rate.estimate - rate.low for rate in rates.values()]
    high = [rate.high - rate.estimate for rate in rates.values()]
    axes.errorbar(
        [*rates], [rate.estimate for rate in rates.values()], [low, high], color=colour,
        linestyle=style, marker="o", capsize=3, label=_escape(name) or "the run's own otherwise",
    )  # fmt: skip
    for size in (size for size, point in points.items() if point.status == OUT_OF_MEMORY):
        place = axes.get_xaxis_transform()
        axes.plot(size, 0.05, "x", color=colour, transform=place)
        axes.annotate(
            OUT_OF_MEMORY, (size, 0.05), (-7, 0), xycoords=place, textcoords="offset points",
            ha="right", va="center", fontsize="small",
        )  # fmt: skip


def classes(recalls: Sequence[Recall]) -> str:
    """Draw a bar for each class: the share of its images that were classified correctly."""
    with_names = len(recalls) <= MOST_CLASS_NAMES
    names = distinct([name for name, _, _ in recalls]) if with_names else []
    longest = max((sum(map(_columns, name)) for name in names), default=0)
    figure, (axes,) = _figure(2.4 + LABEL_INCHES * longest)
    shares = [right / images for _, right, images in recalls]
    axes.bar(range(len(shares)), shares, 0.8 if with_names else 1.0, color=COLOURS[0])
    axes.set_xlim(-0.6, max(len(shares), 1) - 0.4)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("recall")
    # an anchor: the browser's font may have another width than matplotlib's
    axes.set_xticks(
        range(len(names)), map(_escape, names), fontsize=7, rotation=90, rotation_mode="anchor",
        ha="right", va="center",
    )  # fmt: skip
    axes.tick_params(axis="x", length=0)
    return _svg(figure)


def _columns(character: str) -> int:
    return 2 if east_asian_width(character) in "WF" else 1


def _smooth(values: Sequence[float]) -> list[float]:
    """Return the exponential running mean, with Adam's bias correction."""
    mean, weight, smoothed = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smoothed.append(mean / weight)
    return smoothed


def _styles() -> Iterator[tuple[str, str]]:
    """Return an endless iterator of pairs (colour, line style)."""
    return cycle(zip(COLOURS, LINES, strict=True))


def _escape(text: str) -> str:
    """Escape dollar signs (matplotlib's mathematics) and characters that XML forbids."""
    return visible(text).replace("$", r"\$")


def _figure(height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of `height` inches, and its panels from top to bottom."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = [*figure.subplots(panels, squeeze=False)[:, 0]]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Add legends to the figure and return it as SVG; equal figures give equal text."""
    for axes in figure.axes:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    buffer = io.BytesIO()
    with (
        matplotlib.rc_context({"svg.hashsalt": "benchmark", "svg.fonttype": "none"}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has other fonts
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    return tidy(buffer.getvalue().decode())

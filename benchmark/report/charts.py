"""The report's charts, as SVG that is the same whenever it is drawn from the same numbers."""

import io
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from benchmark.common import numbers
from benchmark.common.numbers import duration
from benchmark.common.statistics import Interval
from benchmark.report.comparison import named
from benchmark.report.entries import CONTROL, elapsed
from benchmark.report.schema import Comparison, Entry, Record, TrainingRecord

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Told apart by colour-blind readers (Okabe and Ito, 2008)."""
LINES = ("-", "--", ":", "-.")
"""As many as there are colours: a print in black and white tells them apart too."""
FEW = 8
"""Bars that may take their room."""
SMOOTHING = 0.9
TIMES = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
)
"""Seconds that stand on an axis of times."""
SWEPT = ("precision", "channels_last", "compile", "num_workers", "deterministic")
"""What a sweep may vary besides the batch size."""


def draw(
    present: Sequence[Record], controls: Mapping[str, TrainingRecord], compared: Comparison
) -> dict[str, str]:
    """Every chart by name, as SVG."""
    courses = {record.label: record.training for record in present} | {
        f"{record.label}, {CONTROL}": controls[record.name]
        for record in present
        if record.name in controls
    }
    return {
        "throughput": throughput(rates(compared), compared.reference),
        "loss": losses({record.label: record.training.losses for record in present}),
        "accuracy": accuracies(
            {label: (elapsed(each), each.accuracies) for label, each in courses.items()},
            compared.target_accuracy,
        ),
        "steps": steps(
            {record.label: record.throughput.trainer.step_seconds for record in present}
        ),
        "sweep": sweep({entry.label: sweep_lines(entry) for entry in compared.present}),
    }


def rates(comparison: Comparison) -> dict[str, Interval]:
    """Images per second, by name, of the reference and of all that did the same work."""
    entries = named(comparison.accelerators, comparison.machines)
    return {
        name: entry.throughput.images_per_second
        for name, entry in entries.items()
        if not entry.throughput.not_compared
    }


def sweep_lines(entry: Entry) -> dict[str, list[tuple[int, Interval]]]:
    """Rates by batch size for each combination of what else was swept."""
    lines: dict[str, list[tuple[int, Interval]]] = {}
    for point in entry.throughput.sweep:
        if point.images_per_second:
            others = {name: value for name, value in point.changes.items() if name in SWEPT}
            label = ", ".join(f"{name} {value}" for name, value in others.items())
            size = int(point.changes["batch_size"])
            lines.setdefault(label, []).append((size, point.images_per_second))
    return lines


def throughput(rates: Mapping[str, Interval], reference: str | None) -> str:
    """Bars of images per second with their intervals, by name, and how often each rate holds that
    of the reference."""
    figure, axes = _figure(0.8 + (0.5 if len(rates) <= FEW else 0.28) * max(len(rates), 1))
    coloured = zip(rates.items(), cycle(COLOURS), strict=False)
    for place, ((name, rate), colour) in enumerate(coloured):
        error = [[rate.estimate - rate.low], [rate.high - rate.estimate]]
        axes.barh(place, rate.estimate, 0.6, xerr=error, capsize=4, color=colour, ecolor="black")
        axes.annotate(
            _beside(rate, None if name == reference else rates.get(reference or "")),
            (rate.high, place), (6, 0), va="center",
            textcoords="offset points",
        )  # fmt: skip
    axes.set_yticks(range(len(rates)), [_plain(name) for name in rates])
    axes.set_ylim(max(len(rates), 1) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.set_xlabel("training images per second, with 95 % intervals")
    return _svg(figure)


def _beside(rate: Interval, reference: Interval | None) -> str:
    said = numbers.estimate(rate)
    if reference is None:
        return said
    return f"{said}  ({numbers.number(rate.estimate / reference.estimate)} x)"


def losses(curves: Mapping[str, Sequence[float]]) -> str:
    """Training loss against steps: thin as it was, thick as its running mean."""
    figure, axes = _figure(3.6)
    for (label, values), colour, line in zip(curves.items(), *_styles(), strict=False):
        axes.plot(values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(_smooth(values), color=colour, linestyle=line, label=_plain(label))
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    return _svg(figure, legend=bool(curves))


def accuracies(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], target: float) -> str:
    """The race to the target: validation accuracy after each epoch against the wall time until
    then, on a scale that shows seconds and hours alike."""
    figure, axes = _figure(3.6)
    for (label, course), colour, line in zip(curves.items(), *_styles(), strict=False):
        axes.plot(*course, color=colour, linestyle=line, marker="o", label=_plain(label))
    axes.axhline(target, color="grey", linestyle=":", linewidth=1)
    if curves:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(_round_times(curves)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("time of training; dotted: the target")
    axes.set_ylabel("validation accuracy")
    return _svg(figure, legend=bool(curves))


def _round_times(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> list[float]:
    """TIMES from the first epoch's end to the last one's, with one more at each side."""
    ends = [second for seconds, _ in curves.values() for second in seconds]
    first = bisect_right(TIMES, min(ends)) - 1
    return list(TIMES[max(first, 0) : bisect_left(TIMES, max(ends)) + 1])


def steps(percentiles: Mapping[str, Mapping[str, float]]) -> str:
    """Boxes of the times of single steps: 5th, 25th, 50th, 75th and 95th percentile."""
    known = {label: found for label, found in percentiles.items() if found}
    figure, axes = _figure(1 + 0.5 * max(len(known), 1))
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
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.set_xlabel("time of a training step: median, quartiles, 5 % and 95 %")
    return _svg(figure)


def sweep(lines: Mapping[str, Mapping[str, Sequence[tuple[int, Interval]]]]) -> str:
    """Images per second against the batch size, by accelerator and by what else was varied."""
    figure, axes = _figure(3.6)
    lines_by_name = {
        _plain(", ".join(part for part in (label, other) if part)): sorted(
            points, key=lambda point: point[0]
        )
        for label, others in lines.items()
        for other, points in others.items()
    }
    for (name, points), colour, line in zip(lines_by_name.items(), *_styles(), strict=False):
        sizes, rates = zip(*points, strict=True)
        middle = [rate.estimate for rate in rates]
        low = [rate.estimate - rate.low for rate in rates]
        high = [rate.high - rate.estimate for rate in rates]
        axes.errorbar(
            sizes, middle, [low, high], color=colour, linestyle=line, marker="o", capsize=3,
            label=name,
        )  # fmt: skip
    axes.set_xlabel("batch size")
    axes.set_ylabel("training images per second")
    axes.set_ylim(bottom=0)
    return _svg(figure, legend=bool(lines_by_name))


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
    """Without matplotlib's mathematics, which a pair of dollar signs would begin."""
    return text.replace("$", r"\$")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure, legend: bool = False) -> str:
    if legend:
        figure.axes[0].legend(frameon=False)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "benchmark", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    return buffer.getvalue().decode()

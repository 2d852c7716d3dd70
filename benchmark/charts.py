"""The report's pictures, as SVG that is the same whenever it is drawn from the same numbers."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmark.files import write_bytes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Told apart by colour-blind readers (Okabe and Ito, 2008)."""
LINES = ("-", "--", ":", "-.")
SMOOTHING = 0.9


def throughput(path: Path, rates: Mapping[str, Mapping[str, float]]) -> None:
    """Bars of images per second with their intervals."""
    figure, axes = _figure(1 + 0.6 * max(len(rates), 1))
    for place, rate in enumerate(rates.values()):
        error = [[rate["median"] - rate["low"]], [rate["high"] - rate["median"]]]
        colour = COLOURS[place % len(COLOURS)]
        axes.barh(place, rate["median"], 0.6, xerr=error, capsize=4, color=colour, ecolor="black")
        axes.annotate(
            f"{rate['median']:.1f}", (rate["high"], place), (6, 0), va="center",
            textcoords="offset points",
        )  # fmt: skip
    axes.set_yticks(range(len(rates)), list(rates))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("training images per second, median and 95 % interval")
    _save(figure, path)


def losses(path: Path, curves: Mapping[str, Sequence[float]]) -> None:
    """Training loss against steps: thin as it was, thick as its running mean."""
    figure, axes = _figure(3.6)
    for place, (label, values) in enumerate(curves.items()):
        colour, line = COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]
        axes.plot(values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(_smooth(values), color=colour, linestyle=line, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    if curves:
        axes.legend(frameon=False)
    _save(figure, path)


def accuracies(path: Path, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Validation accuracy after each epoch against the wall time until then."""
    figure, axes = _figure(3.6)
    for place, (label, (seconds, values)) in enumerate(curves.items()):
        colour, line = COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]
        axes.plot(seconds, values, color=colour, linestyle=line, marker="o", label=label)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("validation accuracy")
    if curves:
        axes.legend(frameon=False)
    _save(figure, path)


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential running mean, corrected for its start (as Adam's moments are)."""
    mean, weight, smoothed = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smoothed.append(mean / weight)
    return smoothed


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "benchmark", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    write_bytes(path, buffer.getvalue())

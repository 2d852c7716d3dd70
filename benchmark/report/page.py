"""The comparison as one file of HTML: reports/report.html. It opens from disk, asks nobody for
anything and runs no script."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmark.common import numbers
from benchmark.common.numbers import duration
from benchmark.report import wording
from benchmark.report.charts import rates
from benchmark.report.entries import trainings
from benchmark.report.pictures import Sheets
from benchmark.report.schema import Comparison, Entry, TrainingEntry

TEMPLATE = Path(__file__).with_name("page.html")
WORDS = (
    "against", "commonest", "cost", "decoding", "elsewhere", "energy", "first_step", "goal",
    "here", "memory", "milliseconds", "rate", "ratio", "replayed", "results", "share", "speed",
    "sureness", "swept", "to_target", "training_cost",
)  # fmt: skip
"""What the Markdown says in the same words."""


def render(
    comparison: Comparison,
    facts: Sequence[str],
    charts: Mapping[str, str],
    sheets: Sheets | None,
) -> str:
    """The page.

    Args:
        comparison: as comparison.build makes it.
        facts: lines about what ran; `code` stands between backticks.
        charts: by name, as charts.py draws them.
        sheets: pictures of the test split; None where nothing ran.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {name: getattr(wording, name) for name in WORDS}
    environment.filters |= {"code": code, "duration": duration, "trainings": trainings}
    present = comparison.present
    return environment.get_template(TEMPLATE.name).render(
        comparison=comparison,
        present=present,
        facts=facts,
        figures=figures(present, comparison, charts),
        sheets=sheets,
        ratio_names=wording.RATIOS,
        about_intervals=wording.INTERVALS,
        about_pairs=wording.PAIRS,
        zip=zip,
    )


def figures(
    present: Sequence[Entry], comparison: Comparison, charts: Mapping[str, str]
) -> dict[str, Markup]:
    """Those charts that show something, each with its content in words."""
    if not present:
        return {}
    runs = [run for entry in present for run in trainings(entry.label, entry).items()]
    words = {
        "throughput": "Bars of training images per second: "
        + _join(f"{name} {numbers.estimate(rate)}" for name, rate in rates(comparison).items()),
        "loss": "Training loss by step: "
        + _join(_course(entry.label, entry.training) for entry in present),
        "accuracy": "Validation accuracy after each epoch against wall time; of the best: "
        + _join(f"{n} {t.val_accuracy:.1%} of {duration(t.seconds)}" for n, t in runs),
        "steps": "Times of single training steps: "
        + _join(_steps(entry.label, entry.throughput.step_seconds) for entry in present),
    }
    if any(entry.throughput.sweep for entry in present):
        words["sweep"] = "Training images per second against the batch size, as in the table below."
    return {name: inline(charts[name], name, said) for name, said in words.items()}


def _course(label: str, training: TrainingEntry) -> str:
    ends = [
        f"{loss:.3g}" if loss is not None else "no number"
        for loss in (training.train_loss.first, training.train_loss.last)
    ]
    return f"{label} from {' to '.join(ends)} in {training.steps} steps"


def _steps(label: str, found: Mapping[str, float]) -> str:
    if not found:
        return f"{label} not known"
    middle, low, high = (duration(found[name]) for name in ("p50", "p5", "p95"))
    return f"{label} {middle}, nine of ten from {low} to {high}"


def _join(parts: Iterable[str]) -> str:
    return "; ".join(parts) + "."


def inline(chart: str, name: str, words: str) -> Markup:
    """A chart as part of a page: its ids are its own, its black is the page's text colour, and a
    screen reader says `words`."""
    drawing = re.sub(r"<metadata>.*?</metadata>", "", chart[chart.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", drawing)
    drawing = drawing.replace("#ffffff", "none").replace("#000000", "currentColor")
    drawing = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", drawing, count=1)
    drawing = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", drawing, count=1)
    return Markup(drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1))


def code(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))

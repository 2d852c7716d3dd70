"""The comparison as one file of HTML: reports/report.html. It opens from disk, asks nobody for
anything and runs no script."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmark import summary
from benchmark.comparison import trainings
from benchmark.markdown import duration
from benchmark.pictures import Sheets

TEMPLATE = Path(__file__).with_name("page.html")
WORDS = (
    "against", "elsewhere", "here", "memory", "ratio", "replayed", "results", "share", "speed",
    "to_target",
)  # fmt: skip
"""What the Markdown says in the same words."""


def render(
    comparison: Mapping[str, Any],
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
    environment.filters |= {name: getattr(summary, name) for name in WORDS}
    environment.filters |= {"code": code, "duration": duration, "trainings": trainings}
    present = [entry for entry in comparison["accelerators"] if entry["status"] == "ok"]
    return environment.get_template(TEMPLATE.name).render(
        comparison=comparison,
        present=present,
        facts=facts,
        figures=figures(present, comparison, charts),
        sheets=sheets,
        ratio_names=summary.RATIOS,
    )


def figures(
    present: Sequence[Mapping[str, Any]], comparison: Mapping[str, Any], charts: Mapping[str, str]
) -> dict[str, Markup]:
    """Those charts that show something, each with its content in words."""
    if not present:
        return {}
    labels = " and ".join(entry["label"] for entry in present)
    rates = ", ".join(
        f"{entry['label']} {entry['throughput']['images_per_second']['median']:.1f}"
        for entry in [*present, *comparison["machines"]]
    )
    swept = any(entry["throughput"]["sweep"] for entry in present)
    words = {
        "throughput": f"Bars of training images per second: {rates}.",
        "loss": f"The training loss of {labels} by step.",
        "accuracy": f"The validation accuracy of {labels} against wall time.",
        "steps": f"The times of single training steps of {labels}, as boxes.",
        **({"sweep": "Training images per second against the batch size."} if swept else {}),
    }
    return {name: inline(charts[name], name, said) for name, said in words.items()}


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

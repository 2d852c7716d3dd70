"""The report as one HTML file: reports/report.html. It opens from disk, loads no external resources
and runs no script."""

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmark.common.formatting import tidy
from benchmark.common.numbers import percent
from benchmark.report import wording
from benchmark.report.document import CodeSpan, Document, Prose

TEMPLATE = Path(__file__).with_name("page.html")


def render(document: Document, charts: Mapping[str, str]) -> str:
    """Return the page as HTML.

    Args:
        document: the report.
        charts: SVG by name, from charts.draw.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"inline": inline, "text": text, "breakable": breakable}
    environment.filters |= {"shares": wording.shares, "step_share": wording.step_share}
    environment.filters["percent"] = lambda share: percent(share, 0)
    environment.tests["of"] = lambda block, name: type(block).__name__ == name
    page = environment.get_template(TEMPLATE.name).render(document=document, charts=charts)
    return tidy(page)


def inline(chart: str, name: str, alternative: str) -> Markup:
    """Return a chart as an HTML element. A screen reader reads `alternative`.

    Its ids begin with `name`, to be unique on the page. Black becomes the page's text colour, and
    white transparent. Width and height are removed.
    """
    drawing = re.sub(r"<metadata>.*?</metadata>", "", chart[chart.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", drawing)
    drawing = drawing.replace("#ffffff", "none").replace("#000000", "currentColor")
    drawing = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", drawing, count=1)
    drawing = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", drawing, count=1)
    label = f'<svg role="img" aria-label="{escape(alternative)}" '
    return Markup(drawing.replace("<svg ", label, 1))


def breakable(name: str) -> Markup:
    """Escape a name and allow a line break after each underscore."""
    return escape(name).replace("_", Markup("_<wbr>"))


def text(words: str) -> Markup:
    """Return the escaped text of a cell or a sentence; intervals do not break across lines."""
    if isinstance(words, CodeSpan):
        return Markup("<code>{}</code>").format(str(words))
    escaped = re.sub(r"\((\S+) to (\S+)\)", "(\\1\u00a0to\u00a0\\2)", str(escape(str(words))))
    if isinstance(words, Prose):
        escaped = re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)
    return Markup(escaped)

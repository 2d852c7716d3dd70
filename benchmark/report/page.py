"""The comparison as one file of HTML: reports/report.html. It opens from disk, asks nobody for
anything and runs no script."""

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmark.report import wording
from benchmark.report.view import Code, Marked, View

TEMPLATE = Path(__file__).with_name("page.html")


def render(view: View, charts: Mapping[str, str]) -> str:
    """The page.

    Args:
        view: as sections.view makes it.
        charts: by name, as charts.py draws them.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"inline": inline, "text": text, "breakable": breakable}
    environment.filters |= {"shares": wording.shares, "part": wording.part}
    return environment.get_template(TEMPLATE.name).render(view=view, charts=charts)


def inline(chart: str, name: str, words: str) -> Markup:
    """A chart as part of a page: its ids are its own, its black is the page's text colour, and a
    screen reader says `words`."""
    drawing = re.sub(r"<metadata>.*?</metadata>", "", chart[chart.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", drawing)
    drawing = drawing.replace("#ffffff", "none").replace("#000000", "currentColor")
    drawing = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", drawing, count=1)
    drawing = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", drawing, count=1)
    return Markup(drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1))


def breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


def text(said: str) -> Markup:
    """What a cell or a sentence holds; no line breaks within an interval."""
    if isinstance(said, Code):
        return Markup("<code>{}</code>").format(str(said))
    shown = re.sub(r"\((\S+) to (\S+)\)", "(\\1\u00a0to\u00a0\\2)", str(escape(str(said))))
    if isinstance(said, Marked):
        shown = re.sub(r"`([^`]*)`", r"<code>\1</code>", shown)
    return Markup(shown)

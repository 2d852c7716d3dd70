"""The report as Markdown: reports/report.md, for a pull request or a terminal."""

from benchmark.common.formatting import literal, plain, table
from benchmark.report.document import (
    BulletList,
    ChartBlock,
    CodeSpan,
    Content,
    Document,
    Prose,
    ShareBar,
    Table,
)
from benchmark.report.wording import shares


def render(document: Document) -> str:
    """Return the report as Markdown, without pictures of test images."""
    parts = [f"# {document.title}", f"**{_line(document.verdict)}**"]
    parts += [f"> {_line(flag)}" for flag in document.flags]
    parts += map(_render, document.answer)
    for section in document.sections:
        parts += [f"## {section.heading}", *map(_render, section.content)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _render(content: Content) -> str:
    match content:
        case str(text):
            return _line(text)
        case BulletList(items):
            return "\n".join(f"- {f'{_line(n)}: ' if n else ''}{_line(text)}" for n, text in items)
        case Table(_, header, rows, caption):
            lines = table([*map(_escape, header)], [[*map(_escape, row)] for row in rows])
            return f"{lines}\n\n{_line(caption)}" if caption else lines
        case ChartBlock(name, caption):
            return f"![{_line(caption)}]({name}.svg)"
        case ShareBar(label, step_shares):
            return f"A training step of {_line(label)}: {shares(step_shares)}."
        case _:
            return ""


def _line(text: str) -> str:
    """Return the text on one line, without HTML."""
    return plain(_escape(text))


def _escape(text: str) -> str:
    """Escape Markdown, except in Prose; put a CodeSpan between backticks."""
    if isinstance(text, CodeSpan) and "`" not in text:
        return f"`{text}`"
    return text if isinstance(text, Prose) else literal(text)

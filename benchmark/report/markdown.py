"""The report as Markdown: reports/report.md, for a pull request or a terminal."""

from collections.abc import Iterator

from benchmark.common.formatting import literal, plain, table
from benchmark.report.document import (
    BulletList,
    ChartBlock,
    CodeSpan,
    Content,
    DefinitionList,
    Document,
    Paragraph,
    Prose,
    ShareBars,
    Table,
)
from benchmark.report.wording import shares


def render(document: Document) -> str:
    """Return the report as Markdown, without pictures of test images."""
    parts = [f"# {document.title}", f"**{_line(document.verdict)}**"]
    parts += [f"> {_line(flag)}" for flag in document.flags]
    parts += [part for content in document.answer for part in _render(content)]
    for section in document.sections:
        parts.append(f"## {section.heading}")
        parts += [part for content in section.content for part in _render(content)]
    return "\n\n".join(parts) + "\n"


def _render(content: Content) -> Iterator[str]:
    match content:
        case Paragraph(text):
            yield _line(text)
        case BulletList(items):
            yield "\n".join(f"- {f'{_line(n)}: ' if n else ''}{_line(text)}" for n, text in items)
        case Table(_, header, rows, caption):
            yield table([*map(_escape, header)], [[*map(_escape, row)] for row in rows])
            if caption:
                yield _line(caption)
        case ChartBlock(name, caption):
            yield f"![{_line(caption)}]({name}.svg)"
        case ShareBars(steps):
            yield "\n".join(f"- A training step of {_line(n)}: {shares(s)}." for n, s in steps)
        case DefinitionList(definitions):
            yield "\n".join(f"- **{term}**: {_line(meaning)}" for term, meaning in definitions)


def _line(text: str) -> str:
    """Return the text on one line, without HTML."""
    return plain(_escape(text))


def _escape(text: str) -> str:
    """Escape Markdown, except in Prose; put a CodeSpan between backticks."""
    if isinstance(text, CodeSpan) and "`" not in text:
        return f"`{text}`"
    return text if isinstance(text, Prose) else literal(text)

"""The comparison as Markdown: reports/report.md, for a pull request or a terminal."""

from collections.abc import Iterator

from benchmark.common.formatting import literal, plain, table
from benchmark.report.view import (
    Block,
    Chart,
    Code,
    Lines,
    Marked,
    Paragraph,
    Shares,
    Table,
    Terms,
    View,
)
from benchmark.report.wording import shares


def render(view: View) -> str:
    """The page, without pictures of test images.

    Args:
        view: as sections.view makes it.
    """
    parts = [f"# {view.title}", f"**{_line(view.verdict)}**"]
    parts += [f"> {_line(flag)}" for flag in view.flags]
    parts += [part for block in view.answer for part in _show(block)]
    for section in view.sections:
        parts.append(f"## {section.heading}")
        parts += [part for block in section.blocks for part in _show(block)]
    return "\n\n".join(parts) + "\n"


def _show(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield _line(text)
        case Lines(lines):
            yield "\n".join(f"- {f'{_line(n)}: ' if n else ''}{_line(line)}" for n, line in lines)
        case Table():
            header, *rows = ([_words(cell) for cell in row] for row in (block.header, *block.rows))
            yield table(header, rows)
            if block.caption:
                yield _line(block.caption)
        case Chart(name, caption):
            yield f"![{_line(caption)}]({name}.svg)"
        case Shares(steps):
            yield "\n".join(f"- A training step of {_line(n)}: {shares(of)}." for n, of in steps)
        case Terms(terms):
            yield "\n".join(f"- **{term}**: {_line(meaning)}" for term, meaning in terms)


def _line(said: str) -> str:
    """On one line, in which no HTML begins."""
    return plain(_words(said))


def _words(said: str) -> str:
    """Text that is no Markdown but where it is meant to be."""
    if isinstance(said, Code) and "`" not in said:
        return f"`{said}`"
    return said if isinstance(said, Marked) else literal(said)

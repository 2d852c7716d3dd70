"""Every link in the documentation leads somewhere."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests import REPOSITORY

DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "provenance/README.md",
    REPOSITORY / "reports/report.md",
]


def prose(text: str) -> str:
    """A page without its code: what is fenced, indented or in backticks."""
    text = re.sub(r"^(```+).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^ {4,}\S.*$|`[^`\n]+`", "", text, flags=re.MULTILINE)


def links(text: str) -> list[str]:
    """The targets of a page's links and pictures."""
    pairs = re.findall(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"", prose(text))
    return [markdown or html for markdown, html in pairs]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives headings: lower case, words joined by hyphens, a number
    where a heading is repeated."""
    count: Counter[str] = Counter()
    names = set()
    fenceless = re.sub(r"^(```+).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ +(.+?) *#*$", fenceless, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        names.add(f"{slug}-{count[slug]}" if count[slug] else slug)
        count[slug] += 1
    return names


def fault(page: Path, link: str) -> str | None:
    """Say what is wrong with a link of `page`; None if it leads somewhere."""
    if re.match(r"[a-z]+:", link):
        return None
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return f"{link}: the file does not exist"
    if anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
        return f"{link}: the heading does not exist"
    return None


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [problem for link in links(text) if (problem := fault(page, link))] == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` [c](page.md), d!\n\n## Same\n\n## Same\n\n[1](#a-b-c-d) [2](#same-1) "
        "[3](page.md#same) [4](https://example.com) `[5](x.md)`\n\n    [6](x.md)\n\n"
        "[7](#same-2) [8](page.md#b) ![9](none.png)\n"
    )
    faults = [fault(page, link) for link in links(page.read_text())]
    assert [text for text in faults if text] == [
        "#same-2: the heading does not exist",
        "page.md#b: the heading does not exist",
        "none.png: the file does not exist",
    ]

"""Every form of the report, of results that never change."""

import html.parser
import re

import pytest

from benchmark.report import wording
from benchmark.report.documentation import documentation
from tests import REPOSITORY
from tests.report.golden import CASES, FOLDER, NAMES, forms

ALL = [(name, suffix) for name in CASES for suffix in ("md", "html")]


@pytest.mark.parametrize(("name", "suffix"), ALL)
def test_the_form_is_what_it_was(name: str, suffix: str) -> None:
    """If the change is meant: python -m tests.report.golden, and look at the difference."""
    assert forms(name)[suffix] == (FOLDER / f"{name}.{suffix}").read_text(encoding="utf-8")


def test_there_is_no_form_of_a_case_that_has_gone() -> None:
    found = {path.name for path in FOLDER.iterdir() if path.suffix in (".md", ".html")}
    assert found == {f"{name}.{suffix}" for name, suffix in ALL}


def test_each_term_of_the_glossary_is_used() -> None:
    """Somewhere: not every report has a control, or says what a target is."""
    pages = [(FOLDER / f"{name}.md").read_text(encoding="utf-8") for name in CASES]
    said = "".join(page.partition("## Glossary")[0] for page in pages).lower()
    assert [term for term, _ in wording.TERMS if term.lower() not in said] == []


class Reader(html.parser.HTMLParser):
    """Collects a page's elements, addresses and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.alternatives: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [v or "" for name, v in attrs if name in ("src", "href", "srcset")]
        self.alternatives += [v or "" for name, v in attrs if name == "alt"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_names_are_text_whatever_they_hold() -> None:
    page = Reader(forms("one")["html"])
    assert not {"script", "b", "i"} & page.tags
    for name in NAMES:
        assert name in page.texts
        assert any(name in alternative for alternative in page.alternatives)
    assert "<b>many</b>" in "".join(page.texts)


def test_markdown_cells_hold_no_markup_of_their_own() -> None:
    text = forms("one")["md"]
    assert "<i>" not in text
    assert r"&lt;i>CPU\|&lt;/i>" in text


@pytest.mark.parametrize("name", CASES)
def test_a_page_asks_nobody_for_anything(name: str) -> None:
    text = forms(name)["html"]
    assert all(address.startswith(("data:", "#")) for address in Reader(text).addresses)
    assert not re.search(r"@import|url\((?!#)", text)


def test_every_key_is_explained() -> None:
    """If it changed: python -m benchmark.report.documentation prints the tables."""
    text = (REPOSITORY / "docs/comparison.md").read_text(encoding="utf-8")
    assert text.endswith(f"\n{documentation()}\n")
    assert "|  |" not in documentation()

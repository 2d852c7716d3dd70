"""Markdown and page of results that never change: their wording is pinned here and nowhere else."""

import html.parser
import json
import re

import pytest
from pydantic import TypeAdapter

from benchmark.common.formatting import table
from benchmark.report.comparison_schema import Comparison
from benchmark.report.glossary import FIGURES, WORDS
from benchmark.report.json_schema import PATH, json_schema
from tests import REPOSITORY
from tests.report.golden import CASES, FOLDER, NAMES, compared, forms

ALL = [(name, suffix) for name in CASES for suffix in ("md", "html")]


@pytest.mark.parametrize(("name", "suffix"), ALL)
def test_the_form_is_what_it_was(name: str, suffix: str) -> None:
    """If the change is meant: python -m tests.report.golden, and look at the difference."""
    assert forms(name)[suffix] == (FOLDER / f"{name}.{suffix}").read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_case() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.suffix in (".json", ".md", ".html")}
    assert files == {f"{name}.{suffix}" for name, suffix in ALL}


def test_each_figure_of_the_glossary_is_in_a_report() -> None:
    pages = [(FOLDER / f"{name}.md").read_text(encoding="utf-8") for name in CASES]
    text = "".join(page.partition("## Glossary")[0] for page in pages).lower()
    assert [word for word, _ in FIGURES if word.lower() not in text] == []


def test_the_architecture_defines_the_words_as_the_report_does() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    assert table(("Word", "Meaning"), WORDS) in text.partition("## Words")[2]


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


def test_names_are_text_whatever_they_contain() -> None:
    page = Reader(forms("one")["html"])
    assert not {"script", "b", "i"} & page.tags
    for name in NAMES:
        assert name in page.texts
        assert any(name in alternative for alternative in page.alternatives)
    assert "<b>many</b>" in "".join(page.texts)


@pytest.mark.parametrize("name", CASES)
def test_a_page_loads_nothing(name: str) -> None:
    text = forms(name)["html"]
    assert all(address.startswith(("data:", "#")) for address in Reader(text).addresses)
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_json_schema_is_current_and_says_something_of_every_key_of_the_report() -> None:
    """If it changed: python -m benchmark.report.json_schema."""
    assert (REPOSITORY / PATH).read_text(encoding="utf-8") == json_schema()
    definitions = json.loads(json_schema())["$defs"]
    for model in ("Entry", "TrainingEntry", "NamedParity", "RelativeSpeed", "Cost", "SeedsEntry"):
        assert all("description" in key for key in definitions[model]["properties"].values())


@pytest.mark.parametrize("name", CASES)
def test_a_comparison_can_be_read_back(name: str) -> None:
    """A program that reads comparison.json needs no other file."""
    content = json.dumps(compared(name).model_dump(mode="json"), allow_nan=False)
    assert TypeAdapter(Comparison).validate_json(content) == compared(name)

"""The report, written from made-up results."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmark.common import results
from benchmark.common.parameters import Parameters
from benchmark.common.results import write_result
from benchmark.pipeline import report
from benchmark.report import charts
from tests.support import made_records

Pages = Callable[..., str]


@pytest.fixture
def pages(drawn_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Pages:
    """Writes the report for the accelerators that results were written for; its Markdown. Its
    charts are empty: they would take most of the time."""
    empty = empty_chart()
    monkeypatch.setattr(charts, "_svg", lambda _: empty)
    return drawn_pages


@cache
def empty_chart() -> str:
    """A chart of no accelerators."""
    return charts.sweep({})


@pytest.fixture
def drawn_pages(workspace: Path, parameters: Parameters) -> Pages:
    """The same with its charts."""
    write_result(results.DATASET, made_records.DATASET)

    def render(*names: str, **changes: Any) -> str:
        report.run(parameters.model_copy(update={"accelerators": names, **changes}))
        return Path("reports/report.md").read_text(encoding="utf-8")

    return render

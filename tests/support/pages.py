"""Fixtures that write the report from made-up results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.common import results
from benchmark.common.parameters import Parameters
from benchmark.common.results import write_result
from benchmark.pipeline import report
from benchmark.report import charts
from tests.report.golden import CHARTS, EMPTY_CHART
from tests.support import made_records

Pages = Callable[..., str]


@pytest.fixture
def pages(drawn_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Pages:
    """Return a function that writes the report of the named accelerators and returns its Markdown.

    Its charts are empty: drawing them would take most of the time.
    """
    monkeypatch.setattr(charts, "draw", lambda *_: dict.fromkeys(CHARTS, EMPTY_CHART))
    return drawn_pages


@pytest.fixture
def drawn_pages(workspace: Path, parameters: Parameters) -> Pages:
    """Return a function that writes the same report with its charts."""
    write_result(results.DATASET, made_records.DATASET)

    def render(*names: str, **changes: Any) -> str:
        report.run(parameters.model_copy(update={"accelerators": names, **changes}))
        return Path("reports/report.md").read_text(encoding="utf-8")

    return render

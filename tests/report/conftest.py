"""The report, written from made-up results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.common import results
from benchmark.common.parameters import Parameters
from benchmark.common.results import write_result
from benchmark.report import report
from tests.report import made


@pytest.fixture
def pages(workspace: Path, parameters: Parameters) -> Callable[..., str]:
    """Writes the report for the accelerators that results were written for; its Markdown."""
    write_result(results.DATASET, made.DATASET)

    def render(*names: str, **changes: Any) -> str:
        report.run(parameters.model_copy(update={"accelerators": names, **changes}))
        return Path("reports/report.md").read_text(encoding="utf-8")

    return render

"""pre-commit's whitespace hooks change no generated file: the report stage stays up to date.

The rules are those of trailing-whitespace, end-of-file-fixer and mixed-line-ending.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmark.command_line import documentation, main
from benchmark.common.formatting import tidy
from benchmark.common.parameters import ReportParameters
from benchmark.common.results import DATASET, ResultPaths
from benchmark.report import record
from tests import REPOSITORY
from tests.pipeline.test_report import measured_point
from tests.support import made_records
from tests.support.made_records import training, write_absent, write_results, write_training

PRICED = ReportParameters(
    target_accuracy=0.6, margin=0.05, price_per_hour={"cpu": 36.0}, currency="EUR "
)


def left_by_hooks(content: bytes) -> bytes:
    """Return a file's content as the three hooks leave it."""
    lines = [line.rstrip() for line in content.splitlines()]
    return b"\n".join(lines).rstrip(b"\n") + b"\n" if content else content


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a", "a\n"),
        ("a \t\nb\n\n", "a\nb\n"),
        ("a\r\nb\rc\x0c", "a\nb\nc\n"),
        ("a\n b\n", "a\n b\n"),
    ],
)
def test_tidy_text_is_what_hooks_leave(text: str, left: str) -> None:
    assert left_by_hooks(text.encode()).decode() == left
    assert tidy(text) == left


def test_hooks_change_nothing_that_the_stages_and_commands_write(change, drawn_pages: Any) -> None:
    points = (measured_point(9.0, batch_size=8), measured_point(90.0, devices=2))
    write_results("cpu", measured={"sweep": points}, seeds={8: training()}, device="a cpu \n ")
    write_results("gpu", rate=500.0, seeds={8: training()})
    write_training(ResultPaths("cpu").control, training(accuracies=(0.1,) * 3))
    write_absent("tpu")
    other = record.read("cpu").model_copy(
        update={"environment": made_records.environment(machine="m1")}
    )
    made_records.write_exported(record.MACHINES / "m1/cpu.json", other)
    drawn_pages("cpu", "gpu", "tpu", controls=("cpu",), seeds=(8,), report=PRICED)
    record.export(change(accelerators=["cpu"]))
    assert main(["compare", ".", ".", "--markdown", "reports/compare.md"]) == 0
    paths = [path for path in Path("reports").rglob("*") if path.is_file()]
    assert {DATASET.name, "loss.svg", "report.html", "compare.md"} < {path.name for path in paths}
    assert len(paths) > 40
    for path in paths:
        content = path.read_bytes()
        assert left_by_hooks(content) == content, path


def test_hooks_change_nothing_that_is_written_into_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "docs", "tests/report/golden", "README.md"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.split("\0") if name and not name.endswith(".png")]
    assert len(names) > 10
    for name in names:
        content = (REPOSITORY / name).read_bytes()
        assert left_by_hooks(content) == content, name
    assert tidy(documentation()) == documentation()

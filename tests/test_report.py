import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmark import report
from benchmark.errors import UserError
from benchmark.files import write_csv, write_json
from benchmark.results import DATASET, STEP_HEADER, Results


def write_results(name: str, label: str, rate: float, order: list[str], pixels: str = "p") -> None:
    results = Results(name)
    training = {
        "status": "ok", "accelerator": label, "device": f"a {label}", "epochs": len(order),
        "best_epoch": 0, "classes": 3, "test": {"loss": 1.0, "accuracy": 0.25, "top5": 0.75},
        "val": {"loss": 1.0, "accuracy": 0.5, "top5": 1.0},
        "digests": {
            "weights": "w" * 64, "initial_weights": "i" * 64, "order": order[-1],
            "pixels": pixels, "order_by_epoch": order,
        },
    }  # fmt: skip
    images = {"median": rate, "low": rate - 1, "high": rate + 2}
    write_json(results.training, training)
    write_json(results.timing, {"status": "ok", "total_seconds": 83.4})
    write_json(
        results.throughput,
        {"status": "ok", "accelerator": label, "modes": {"trainer": {"images_per_second": images}}},
    )
    write_csv(results.steps, STEP_HEADER, [(0, 0, 3.5), (1, 0, 3.0)])


@pytest.fixture
def pages(workspace: Path, parameters, monkeypatch) -> Any:
    """Renders the report for the accelerators that results were written for."""
    write_json(DATASET, {"md5": "ab" * 16, "classes": 3, "images": {"train": 1500, "val": 6}})

    def render(*names: str) -> str:
        report.run(parameters.model_copy(update={"accelerators": names}))
        return Path("reports/report.md").read_text(encoding="utf-8")

    return render


def absent(name: str, reason: str) -> None:
    status = {"status": "unavailable", "accelerator": name, "reason": reason}
    for path in (Results(name).training, Results(name).timing, Results(name).throughput):
        write_json(path, status)
    write_csv(Results(name).steps, STEP_HEADER, [])


def test_a_row_with_figures_and_rows_with_reasons(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o"])
    absent("gpu", "no CUDA or MPS device found")
    lines = pages("cpu", "gpu").splitlines()
    assert (
        "| cpu | a cpu | 50.0 (49.0 to 52.0) | 25.0% | 75.0% | 50.0% | 1 (best: 1) | 1 min 23 s |"
        " `wwwwwwwwwwww` |"
    ) in lines
    assert "| gpu | unavailable: no CUDA or MPS device found | - | - | - | - | - | - | - |" in lines
    assert "**cpu trains 50 images/s and reaches 25.0% test accuracy; gpu not measured.**" in lines
    assert "3 classes, 1,500 train, 6 val images" in "\n".join(lines)


def test_the_fastest_of_several_leads(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o"])
    write_results("gpu", "gpu", 500.0, ["o"])
    verdict = "**gpu trains 500 images/s, the most of 2 accelerators, and reaches"
    assert verdict in pages("cpu", "gpu")


def test_samples_are_compared_over_the_epochs_that_both_ran(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o0", "o1", "o2"])
    write_results("xla", "xla:cpu", 20.0, ["o0", "o1"])
    assert ("- cpu and xla:cpu: initial weights equal, sample order equal, pixels equal.") in pages(
        "cpu", "xla"
    )


def test_a_difference_is_said_aloud(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o0", "o1"])
    write_results("xla", "xla:cpu", 20.0, ["o0", "x1"], pixels="q")
    assert "sample order **different**, pixels **different**" in pages("cpu", "xla")


def test_nothing_present_is_said_and_no_figure_invented(pages) -> None:
    absent("gpu", "none")
    page = pages("gpu")
    assert "nothing was measured" in page
    assert "Nothing ran." in page


def test_a_reason_cannot_break_the_table(pages) -> None:
    absent("tpu", "a | b\nc")
    assert "unavailable: a \\| b c |" in pages("tpu")


def test_charts_are_whole_and_the_same_each_time(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o"])
    drawings = []
    for _ in range(2):
        pages("cpu")
        drawings.append([Path(f"reports/{n}.svg").read_bytes() for n in ("throughput", "loss")])
    assert drawings[0] == drawings[1]
    for svg in drawings[0]:
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert b"50.0" in drawings[0][0]


def test_a_stage_that_has_not_run_is_named(pages) -> None:
    with pytest.raises(UserError, match=r"reports/train/cpu\.json is not here.*dvc repro"):
        pages("cpu")

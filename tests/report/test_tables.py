import csv
import json
from pathlib import Path
from typing import Any

from benchmark.common.parameters import ReportParameters
from benchmark.report.record import MACHINES
from benchmark.report.tables import HEADER
from tests.report.made import record, write_absent, write_exported, write_results

ASKED = ReportParameters(
    target_accuracy=0.6, margin=0.05, price_per_hour={"cpu": 36.0}, currency="EUR"
)


def written() -> tuple[dict[str, Any], list[dict[str, str]]]:
    with Path("reports/results.csv").open(newline="") as file:
        return json.loads(Path("reports/metrics.json").read_text()), list(csv.DictReader(file))


def test_the_metrics_are_flat_and_few(pages) -> None:
    write_results("cpu")
    write_results("xla", label="xla:cpu", rate=40.0, accuracies=(0.1, 0.2, 0.3))
    write_absent("gpu")
    pages("cpu", "gpu", "xla", report=ASKED)
    metrics, _ = written()
    assert metrics.keys() == {"cpu", "xla"}
    assert metrics["cpu"] == {
        "images_per_second": 50.0, "images_per_second_low": 49.75,
        "images_per_second_high": 50.25, "test_accuracy": 0.75, "seconds_to_target": 40.0,
        "peak_memory_gib": 2.0, "cost_per_million_images": 200.0,
    }  # fmt: skip
    assert metrics["xla"].keys() == metrics["cpu"].keys() - {
        "seconds_to_target", "cost_per_million_images"
    }  # fmt: skip


def test_results_have_a_line_for_each_accelerator_and_machine(pages) -> None:
    """The fastest first, wherever it is."""
    write_results("cpu")
    write_results("xla", label="xla:cpu", rate=40.0)
    for machine, options in {
        "m1": {"rate": 60.0},
        "m2": {"workload": {"code": "x"}, "rate": 9.0},
    }.items():
        write_exported(MACHINES / machine / "cpu.json", record(machine=machine, **options))
    pages("cpu", "xla", report=ASKED)
    _, rows = written()
    assert tuple(rows[0]) == HEADER
    assert [(row["machine"], row["accelerator"]) for row in rows] == [
        ("m1", "cpu"), ("a" * 16, "cpu"), ("a" * 16, "xla:cpu"), ("m2", "cpu")
    ]  # fmt: skip
    assert rows[1]["images_per_second_low"] == "49.75"
    assert (rows[1]["cost_per_million_images"], rows[1]["currency"]) == ("200.0", "EUR")
    assert rows[0]["currency"] == ""
    assert rows[3]["not_compared"] == "other code"


def test_without_an_accelerator_there_are_none(pages) -> None:
    write_absent("gpu")
    pages("gpu")
    assert written() == ({}, [])

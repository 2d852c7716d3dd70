import csv
import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.common.parameters import ReportParameters
from benchmark.common.results import ResultPaths
from benchmark.report.record import MACHINES
from benchmark.report.tables import HEADER
from tests.report.golden import batch_curve
from tests.support.made_records import (
    record,
    training,
    write_absent,
    write_exported,
    write_results,
    write_training,
)

PARAMETERS = ReportParameters(
    target_accuracy=0.6, margin=0.05, price_per_hour={"cpu": 36.0}, currency="EUR"
)


def written() -> tuple[dict[str, Any], list[dict[str, str]]]:
    return json.loads(Path("reports/metrics.json").read_text()), read("results.csv")


def read(name: str) -> list[dict[str, str]]:
    with Path("reports", name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_metrics_are_flat_and_few(pages) -> None:
    write_results("cpu")
    write_results("xla", label="xla:cpu", rate=40.0, accuracies=(0.1, 0.2, 0.3))
    write_absent("gpu")
    pages("cpu", "gpu", "xla", report=PARAMETERS)
    metrics, _ = written()
    assert metrics.keys() == {"cpu", "xla"}
    assert [*metrics["cpu"]][:3] == ["images_per_second", "test_accuracy", "seconds_to_target"]
    assert metrics["cpu"] == {
        "images_per_second": 50.0, "images_per_second_low": 49.75,
        "images_per_second_high": 50.25, "test_accuracy": 0.75, "seconds_to_target": 40.0,
        "peak_memory_gib": 2.0, "cost_per_million_images": 200.0, "architecture": "resnet50",
    }  # fmt: skip
    assert metrics["xla"].keys() == metrics["cpu"].keys() - {
        "seconds_to_target", "cost_per_million_images"
    }  # fmt: skip


def test_the_fastest_batch_size_is_in_both_tables_if_it_was_looked_for(pages) -> None:
    write_results("cpu", measured={"curve": batch_curve(50, 1.02, end="gain")})
    gpu = batch_curve(60, 2.0, end="memory", memory=2**30)
    write_results("gpu", rate=60.0, measured={"curve": gpu})
    write_results("xla", label="xla:cpu", rate=40.0)
    pages("cpu", "gpu", "xla", report=PARAMETERS)
    metrics, rows = written()
    columns = ("best_images_per_second", "best_batch_size")
    assert {name: tuple(map(metric.get, columns)) for name, metric in metrics.items()} == {
        "cpu": (50.0, 32), "gpu": (120.0, 64), "xla": (None, None),
    }  # fmt: skip
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("120.0", "64"), ("50.0", "32"), ("", ""),
    ]  # fmt: skip


def test_results_have_a_line_for_each_accelerator_and_machine(pages) -> None:
    """The fastest comes first, on any machine."""
    write_results("cpu")
    write_results("xla", label="xla:cpu", rate=40.0)
    for machine, options in {
        "m1": {"rate": 60.0},
        "m2": {"workload": {"code": "x"}, "rate": 9.0},
    }.items():
        write_exported(MACHINES / machine / "cpu.json", record(machine=machine, **options))
    pages("cpu", "xla", report=PARAMETERS)
    _, rows = written()
    assert tuple(rows[0]) == HEADER
    assert [(row["machine"], row["accelerator"]) for row in rows] == [
        ("m1", "cpu"), ("a" * 16, "cpu"), ("a" * 16, "xla:cpu"), ("m2", "cpu")
    ]  # fmt: skip
    assert rows[1]["images_per_second_low"] == "49.75"
    assert (rows[1]["cost_per_million_images"], rows[1]["currency"]) == ("200.0", "EUR")
    assert rows[0]["currency"] == ""
    assert rows[3]["not_compared"] == "other code"


def test_two_networks_stand_next_to_each_other_without_a_ratio(pages) -> None:
    """Both are of one machine, whose two exports have two names."""
    vit = {"workload": {"network": "vit_b_16"}, "rate": 40.0}
    write_results("cpu", **vit)
    for machine, options in {"a" * 16: {}, "m1": {}, "m2": vit}.items():
        result = record(machine=machine, **options)
        write_exported(MACHINES / machine / f"{result.key}.json", result)
    text = pages("cpu", report=PARAMETERS)
    metrics, rows = written()
    assert metrics["cpu"]["architecture"] == "vit_b_16"
    places = [(row["machine"], row["architecture"], row["not_compared"]) for row in rows]
    other = "network resnet50, not vit_b_16"
    assert sorted(places) == [
        ("a" * 16, "resnet50", other), ("a" * 16, "vit_b_16", ""), ("m1", "resnet50", other),
        ("m2", "vit_b_16", ""),
    ]  # fmt: skip
    assert text.startswith(
        "# Fine-tuning vit_b_16 and resnet50, compared\n\n**vit_b_16: cpu trains"
    )
    assert "Records of resnet50 have no ratio to these." in text
    assert "cpu on m2 (vit_b_16)" in text
    assert f"No ratio of speeds ({other}): cpu on {'a' * 16}, cpu on m1." in text
    assert "not compared: networks vit_b_16 and resnet50" in text
    assert "| Device | Accelerator | Network |" in text


def test_without_an_accelerator_there_are_none(pages) -> None:
    write_absent("gpu")
    pages("gpu")
    assert written() == ({}, [])


def test_every_step_and_epoch_of_every_run_is_in_the_plots(pages) -> None:
    write_results("cpu")
    write_training(
        ResultPaths("cpu").control, training(losses=(4.0, 3.0), accuracies=(0.1, 0.1, 0.2))
    )
    write_absent("gpu")
    pages("cpu", "gpu", controls=("cpu",))
    losses = read("losses.csv")
    assert [row["run"] for row in losses] == ["cpu"] * 12 + ["cpu, random weights (control)"] * 2
    assert losses[12] == {"run": losses[12]["run"], "step": "1", "train_loss": "4.0"}
    accuracies = read("accuracies.csv")
    assert [row["epoch"] for row in accuracies] == ["1", "2", "3"] * 2
    assert [row["val_accuracy"] for row in accuracies] == ["0.3", "0.7", "0.8", "0.1", "0.1", "0.2"]


def test_the_first_different_step_of_a_claim_is_a_row_of_the_table(pages) -> None:
    """Claims, steps.csv, losses.csv and the chart count steps from 1."""
    local = write_results("cpu").training.losses
    other = tuple(loss * (1 if step < 7 else 1.1) for step, loss in enumerate(local, start=1))
    write_results("xla", label="xla:cpu", weights="v", losses=other)
    pages("cpu", "xla")
    [pair] = json.loads(Path("reports/comparison.json").read_text())["parity"]
    assert pair["claim"].endswith("first different bit at step 7")
    for table in ("losses.csv", "train/cpu/own.steps.csv"):
        steps = [int(row["step"]) for row in read(table)]
        assert steps[:12] == list(range(1, 13))
    by_run = {(row["run"], row["step"]): row["train_loss"] for row in read("losses.csv")}
    equal = [by_run["cpu", f"{k}"] == by_run["xla:cpu", f"{k}"] for k in range(1, 13)]
    assert equal.index(False) + 1 == pair["first_different_step"] == 7


@pytest.mark.parametrize("device", ["=1+1", "+x", "-x", "@x", "\t=x", "\r=x"])
def test_no_text_is_a_formula(pages, device: str) -> None:
    """A spreadsheet must read another machine's text as text; numbers stay as they are."""
    write_results("cpu")
    write_exported(MACHINES / "m1/cpu.json", record(machine="m1", device=device))
    pages("cpu")
    [cell] = [row["device"] for row in read("results.csv") if row["machine"] == "m1"]
    assert cell in (f"'{device}", repr(device)[1:-1])

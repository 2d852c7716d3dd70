import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmark import report
from benchmark.errors import UserError
from benchmark.files import read_json, write_csv, write_json
from benchmark.results import DATASET, EPOCH_HEADER, STEP_HEADER, WEIGHTS, Results


def write_results(name: str, label: str, rate: float, order: list[str], pixels: str = "p") -> None:
    results = Results(name)
    training = {
        "status": "ok", "accelerator": label, "device": f"a {label}", "epochs": len(order),
        "best_epoch": 0, "classes": 3, "steps": 2,
        "test": {"loss": 1.0, "accuracy": 0.25, "top5": 0.75},
        "val": {"loss": 1.0, "accuracy": 0.5, "top5": 1.0},
        "digests": {
            "weights": "w" * 64, "initial_weights": "i" * 64, "order": order[-1],
            "pixels": pixels, "order_by_epoch": order,
        },
    }  # fmt: skip
    write_training(results, training)
    images = {"median": rate, "low": rate - 1, "high": rate + 2}
    measured = {"modes": {"trainer": {"images_per_second": images}}, "ratios": {}}
    write_json(
        results.throughput,
        {
            "status": "ok", "accelerator": label, "verdict": "stable", **measured,
            "noise_floor": {"median": 1.0, "low": 0.99, "high": 1.01},
            "efficiency": {"utilisation": {"median": 0.5}},
        },
    )  # fmt: skip


def write_training(results: Results, training: dict[str, Any]) -> None:
    write_json(results.training, training)
    write_json(results.timing, {"status": "ok", "total_seconds": 83.4, "epoch_seconds": [80.0]})
    write_csv(results.steps, STEP_HEADER, [(0, 0, 3.5), (1, 0, 3.0)])
    write_csv(results.epochs, EPOCH_HEADER, [(0, 3.2, 1.0, 0.5, 1.0)])


@pytest.fixture
def pages(workspace: Path, parameters, monkeypatch) -> Any:
    """Renders the report for the accelerators that results were written for."""
    write_json(DATASET, {"md5": "ab" * 16, "classes": 3, "images": {"train": 1500, "val": 6}})

    def render(*names: str, **changes: Any) -> str:
        report.run(parameters.model_copy(update={"accelerators": names, **changes}))
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


def test_a_control_stands_beside_its_training(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o"])
    training = read_json(Results("cpu").training)
    training["test"]["accuracy"] = 0.1
    write_training(Results("cpu").control, training)
    page = pages("cpu", controls=("cpu",))
    assert "## What the weights bring" in page
    assert "| cpu, random weights (control) | 10.0% | 75.0% | not reached in 1 min 20 s |" in page
    assert "25.0% test accuracy (10.0% from random weights).**" in page
    assert b"random weights" in Path("reports/accuracy.svg").read_bytes()


def test_without_a_control_nothing_is_said_of_one(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o"])
    assert "control" not in pages("cpu")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "all layers trained, Adam at 0.0001;"),
        (
            {"model": {"freeze_backbone": True}},
            "features of un-augmented images computed once, the head trained on them",
        ),
        ({"model": {"freeze_backbone": True}}, "Throughput, here that of the whole network and"),
        (
            {"train": {"unfreeze_epoch": 2}},
            "the head alone for 2 epochs, then all layers, Adam at 0.0001 and 1e-05 for the back",
        ),
    ],
)
def test_the_protocol_is_named(pages, change, changed: dict[str, Any], said: str) -> None:
    write_results("cpu", "cpu", 50.0, ["o"])
    parameters = change(**changed)
    assert said in pages("cpu", model=parameters.model, train=parameters.train)


def test_weights_from_a_file_are_named_with_their_card(pages) -> None:
    write_results("cpu", "cpu", 50.0, ["o"])
    card = {"source": "200 species", "images_seen": 12345, "source_test_accuracy": 0.5}
    write_json(WEIGHTS, {"weights": "source", "sha256": "cd" * 32, "card": card})
    said = "(12,345 images seen, 50.0% of its own test images right)"
    assert f"- Weights `source`: file `cdcdcdcdcdcd`, trained on 200 species {said}." in pages(
        "cpu"
    )
    write_json(WEIGHTS, {"weights": "my.pt", "sha256": "cd" * 32})
    assert "- Weights `my.pt`: file `cdcdcdcdcdcd`." in pages("cpu")


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

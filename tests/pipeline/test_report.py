"""The report stage: what it reads, compares and writes. tests/report/golden pins the wording."""

import json
import xml.etree.ElementTree as ElementTree
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from benchmark.common.files import write_csv, write_json
from benchmark.common.parameters import ReportParameters
from benchmark.common.results import PREDICTION_HEADER, WEIGHTS, ResultPaths
from benchmark.errors.user_error import UserError
from benchmark.report import wording
from benchmark.report.record import MACHINES, export
from benchmark.throughput.schema import SweepPoint
from tests.report.golden import CHARTS
from tests.support.made_records import (
    around,
    record,
    training,
    write_absent,
    write_exported,
    write_results,
    write_training,
)


def compared() -> dict[str, Any]:
    comparison: dict[str, Any] = json.loads(Path("reports/comparison.json").read_text())
    return comparison


def entry(place: int = 0) -> dict[str, Any]:
    accelerator: dict[str, Any] = compared()["accelerators"][place]
    return accelerator


def html() -> str:
    return Path("reports/report.html").read_text(encoding="utf-8")


def flags(pages: Any) -> list[str]:
    pages("cpu")
    lines: list[str] = compared()["flags"]
    return lines


def row(page: str, *cells: str) -> str:
    """Return the first line of a Markdown table that begins with these cells."""
    return next(line for line in page.splitlines() if line.startswith(f"| {' | '.join(cells)} |"))


def export_from(machine: str, **options: Any) -> None:
    """Write the file that another machine's export would be."""
    write_exported(MACHINES / machine / "cpu.json", record(machine=machine, **options))


# One accelerator


def test_an_accelerator_has_its_figures_and_an_absent_one_its_reason(pages) -> None:
    write_results("cpu")
    write_absent("gpu", "a | b\nc")
    page = pages("cpu", "gpu")
    assert row(page, "cpu", "a cpu").startswith(
        "| cpu | a cpu | 50.00 (49.75 to 50.25) | the reference | 75.0% (59.8% to 85.8%) "
        "| 40 s, 2,000 images | 1 min 2 s, "
    )
    assert "| gpu | unavailable: a \\| b c | - | - | - | - | - |" in page
    assert compared()["summary"].startswith("cpu trains 50.00 images/s")
    assert "gpu not measured" in compared()["summary"]


def test_time_counts_to_the_end_of_the_first_epoch_that_reaches_the_target(pages) -> None:
    write_results("cpu")
    pages("cpu")
    assert entry()["training"]["to_target"] == {"epochs": 2, "seconds": 40.0, "images": 2000}
    timing = json.loads(ResultPaths("cpu").own.timing.read_text()) | {"features_seconds": 7.0}
    write_json(ResultPaths("cpu").own.timing, timing)
    pages("cpu")
    assert entry()["training"]["to_target"]["seconds"] == 47.0


def test_what_else_was_measured_is_in_the_report(pages) -> None:
    efficiency = record("cpu").throughput.efficiency
    promised = efficiency.model_copy(update={"vendor_utilisation": around(0.25, 0.02)})
    write_results("cpu", measured={"efficiency": promised})
    page = pages("cpu")
    speed = "| cpu | 50.00 (49.75 to 50.25) | 52.00 (51.87 to 52.13) | 1.000 (0.990 to 1.01"
    utilisation = "| cpu | 50.0% (49.0% to 51.0%) | 25.0% (24.5% to 25.5%) | host 2.0 GiB"
    start = "1.00 s (0.90 to 1.10) | 0.300 ms a step, 3.00 ms an epoch | 2,000 (1,900 to 2,100) |"
    for figures in (speed, utilisation, start, "any kernels, resident batch | 0.990 (0.980 to 1.0"):
        assert figures in page


def test_a_price_gives_costs_and_measures_nothing(pages) -> None:
    """A price of 36 an hour is 0.01 a second: 50 images/s, 62 s of training, 40 s to the target."""
    write_results("cpu")
    export_from("m1")
    priced = ReportParameters(
        target_accuracy=0.6, margin=0.05, price_per_hour={"cpu": 36.0}, currency="EUR"
    )
    page = pages("cpu", report=priced)
    costs = "36.0 EUR an hour | 200.0 EUR (199.0 to 201.0) | 0.620 EUR | 0.400 EUR | "
    assert f"| cpu | {costs}" in page
    assert "200.0 EUR (199.0\u00a0to\u00a0201.0)" in html()
    assert "| no price |" in row(page, "a cpu", "cpu", "`m1`")
    assert "price_per_hour" not in page
    assert entry()["cost"]["price"] == {"per_hour": 36.0, "currency": "EUR"}


def test_a_low_rate_has_digits(pages) -> None:
    write_results("cpu", rate=0.412)
    assert "cpu trains 0.4120 images/s" in pages("cpu")


@pytest.mark.parametrize(("target", "words"), [(0.625, "62.5%"), (0.6, "60%"), (0.995, "99.5%")])
def test_the_target_has_its_own_digits(pages, change, target: float, words: str) -> None:
    write_results("cpu")
    parameters = change(report={"target_accuracy": target})
    assert f"| To {words} validation accuracy |" in pages("cpu", report=parameters.report)
    assert f">To {words} validation accuracy<" in html()


# Sessions


def test_exported_sessions_of_the_same_code_give_a_deviation(pages, change) -> None:
    for rate in (50.0, 51.0):
        write_results("cpu", rate=rate)
        pages("cpu")
        assert entry()["session_spread"] is None
        export(change())
    write_results("cpu", rate=52.0)
    pages("cpu")
    assert entry()["session_spread"]["sessions"] == 3
    assert entry()["session_spread"]["deviation"] == pytest.approx(0.0196, abs=1e-4)


# Controls, seeds, classes


def test_a_control_is_compared_with_its_training(drawn_pages) -> None:
    write_results("cpu")
    missed = training(correct="0001" * 10, pixels="x", accuracies=(0.1,) * 3)
    write_training(ResultPaths("cpu").control, missed)
    page = drawn_pages("cpu", controls=("cpu",))
    name = "cpu, random weights (control)"
    assert f"| {name} | 25.0% (14.2% to 40.2%) | 25.0% | 95.0% | 3 of 3 |" in page
    assert f"| {name} | not reached in 1 min 2 s | 1 min 2 s | 3 |" in page
    assert "(25.0% from random weights)" in compared()["summary"]
    assert "+50.0 points against its control" in page
    inputs = {"sample_order": True, "first_pixels": False, "number_of_steps": True}
    assert entry()["control"]["equal_inputs"] == inputs
    assert compared()["flags"] == ["A control with other first pixels: cpu."]
    assert "random weights (control)" in Path("reports/accuracy.svg").read_text()
    assert "(control)" not in drawn_pages("cpu")


def test_classes_of_all_sizes_have_equal_weight_in_their_mean(pages) -> None:
    """Nine of ten images have one class, which all predictions name."""
    write_results("cpu", correct="1" * 18 + "0" * 2)
    labels = ["a"] * 18 + ["b"] * 2
    rows = [(f"class {k % 2}/{k // 2 % 2:03}.png", name, "a", 0.5) for k, name in enumerate(labels)]
    write_csv(ResultPaths("cpu").own.predictions, PREDICTION_HEADER, rows)
    assert "| b | 0 of 2 | 0% |" in pages("cpu")
    assert "<span>0 of 2</span>" in html()
    result = entry()["training"]
    assert result["test_accuracy"]["estimate"] == result["commonest_class"] == 0.9
    assert result["balanced_accuracy"] == 0.5


@pytest.mark.parametrize(("right", "guess"), [(26, True), (27, False)])
def test_an_accuracy_that_may_be_chance_is_flagged(pages, right: int, guess: bool) -> None:
    """For 26 and 27 of 40 images, Wilson's intervals begin at 49.5 % and at 52.0 %."""
    write_results("cpu", correct="1" * right + "0" * (40 - right))
    assert flags(pages) == (["No more accurate than a guess: cpu."] if guess else [])
    assert ("(50.0%)" in compared()["summary"]) == guess


def test_every_run_of_several_seeds_counts_and_a_miss_too(pages) -> None:
    missed = training(correct="10" * 20, accuracies=(0.1, 0.2, 0.3))
    write_results("cpu", seeds={8: missed, 9: training(correct="1" * 40)})
    page = pages("cpu", seeds=(8, 9))
    assert "| cpu, seed 8 | 50.0% (35.2% to 64.8%) | 50.0% |" in page
    assert "| cpu, seed 8 | not reached in 1 min 2 s |" in page
    assert "mean test accuracy 75.0% (12.9% to 100.0%)" in page
    seeds = entry()["seeds"]
    assert (seeds["other_seeds"], seeds["reached"]) == ([8, 9], 2)
    assert seeds["std"] == pytest.approx(0.25)


def test_the_replay_of_every_training_counts(pages) -> None:
    write_results("cpu", seeds={8: training(first_different_step=2), 9: training()})
    write_training(ResultPaths("cpu").control, training(first_different_step=3))
    page = pages("cpu", seeds=(8, 9), controls=("cpu",))
    for name, step in (("cpu, random weights (control)", 3), ("cpu, seed 8", 2)):
        assert f"- {name}: not reproduced: first difference at step {step} of 10." in page
    for name in ("cpu", "cpu, seed 9"):
        assert f"- {name}: reproduced: the first 10 of 12 steps" in page
    assert compared()["flags"] == ["Not reproduced: cpu, random weights (control), cpu, seed 8."]


# What ran


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "all layers trained, Adam at 0.0001;"),
        ({"model": {"freeze_backbone": True}}, "the head trained on them, Adam at 0.0001;"),
        ({"train": {"unfreeze_epoch": 2}}, "Adam at 0.0001 and 1e-05 for the backbone"),
    ],
)
def test_the_protocol_is_named(pages, change, changed: dict[str, Any], words: str) -> None:
    write_results("cpu")
    parameters = change(**changed)
    page = pages("cpu", model=parameters.model, train=parameters.train)
    assert words in page
    assert ("not only of the trained head" in page) == ("model" in changed)


def test_weights_from_a_file_are_named_with_their_card(pages) -> None:
    write_results("cpu")
    card = {"source": "200 species", "images_seen": 12345, "source_test_accuracy": 0.5}
    write_json(WEIGHTS, {"weights": "source", "sha256": "cd" * 32, "card": card})
    assert "- Weights `source`: file `cdcdcdcdcdcd`, trained on 200 species (12,345 " in pages(
        "cpu"
    )
    write_json(WEIGHTS, {"weights": "<my>.pt", "sha256": "cd" * 32})
    assert "- Weights `<my>.pt`: file `cdcdcdcdcdcd`." in pages("cpu")


# Several accelerators


def test_the_fastest_leads_and_is_compared_with_the_second_too(pages) -> None:
    write_results("cpu")
    write_results("gpu", rate=500, weights="v", losses=(9.0,) * 12, correct="0" * 40)
    write_results("tpu", rate=750)
    pages("cpu", "gpu", "tpu")
    assert compared()["summary"] == (
        "tpu trains 750 images/s, 15.00 times the rate of cpu (14.91 to 15.09) and 1.500 times "
        "that of gpu (1.491 to 1.509), and reaches 75.0% test accuracy; results: accuracies "
        "different (cpu and gpu, gpu and tpu), bit-equal (cpu and tpu)."
    )


def test_a_slower_one_does_not_lead(pages) -> None:
    write_results("cpu")
    write_results("xla", label="xla:cpu", rate=10)
    pages("cpu", "xla")
    start = "cpu trains 50.00 images/s, 5.000 times the rate of xla:cpu (4.969 to 5.031), and reach"
    assert compared()["summary"].startswith(start)


def test_a_training_on_other_samples_has_no_ratio(pages) -> None:
    write_results("cpu")
    write_results("xla", label="xla:cpu", order_by_epoch=["x0", "x1", "x2"], pixels="q" * 64)
    page = pages("cpu", "xla")
    reason = "other sample orders and pixels"
    assert entry(1)["relative_speed"] == {"ratio": None, "not_compared": reason}
    assert f"| not compared: {reason} |" in page
    assert compared()["parity"][0]["claim"] == "not compared: sample orders and pixels differ"
    assert "the speed of xla:cpu cannot be compared with that of cpu" in compared()["summary"]


# Other machines


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"packages": {"torch": "2.8.0"}}, "Other software, torch 2.8.0: cpu on m1."),
        ({"packages": {"more": "1"}}, "Other software, more 1: cpu on m1."),
        ({"inputs": {"code": "x"}}, "Other training code: cpu on m1."),
        ({"inputs": {"parameters": "x"}}, None),
    ],
)
def test_other_causes_of_a_difference_are_flagged(pages, options, flag: str | None) -> None:
    """Other training parameters, such as the number of epochs, do not change a speed."""
    write_results("cpu")
    export_from("m1", **options)
    assert flags(pages) == ([flag] if flag else [])
    assert compared()["machines"][0]["relative_speed"]["ratio"]["estimate"] == 1


def test_a_flag_names_a_few_of_many(pages) -> None:
    write_results("cpu")
    for number in range(5):
        export_from(f"m{number}", workload={"code": "x"})
    names = "cpu on m0, cpu on m1, cpu on m2 and 2 more"
    assert flags(pages) == [f"No ratio of speeds (other code): {names}."]


def test_other_machines_are_in_the_report(drawn_pages) -> None:
    write_results("cpu")
    export_from("m1", rate=60.0)
    export_from("m2", workload={"code": "x"})
    page = drawn_pages("cpu")
    rows = [line for line in page.splitlines() if line.startswith("| a cpu |")]
    assert [line.split(" | ")[2] for line in rows] == ["`m1`", "this one", "`m2`"]
    assert "| `m1` | 60.00 (59.70 to 60.30) | 1.200 (1.193 to 1.207) | 75.0% (59.8% to" in rows[0]
    assert rows[0].endswith("| 40 s, 2,000 images | no price | bit-equal |")
    assert "| 50.00 (49.75 to 50.25) | not compared: other code |" in rows[2]
    assert "a cpu, cpu on m1, trains 60.00 images/s." in compared()["summary"]
    chart = Path("reports/throughput.svg").read_text()
    assert "a cpu, cpu m1" in chart
    assert "1.20 ×" in chart
    assert "cpu m2" not in chart
    assert 'aria-label="Bars of images per second: cpu on m1 60.00; cpu 50.00."' in html()


def test_other_machines_are_compared_with_each_other(pages) -> None:
    write_results("cpu")
    write_results("xla", label="xla:cpu")
    lost = {"weights": "v", "losses": (9.0,) * 12, "correct": "0" * 40}
    for machine, trained in {"m1": {}, "m2": {}, "m3": lost}.items():
        export_from(machine, **trained)
    page = pages("cpu", "xla")
    pairs = {(p["one"], p["other"]): p["kind"] for p in compared()["parity"]}
    names = ["cpu", "xla:cpu", "cpu on m1", "cpu on m2", "cpu on m3"]
    assert [*pairs] == [
        ("cpu", "xla:cpu"), *product(names[:2], names[2:]), *combinations(names[2:], 2)
    ]  # fmt: skip
    assert pairs["cpu on m1", "cpu on m2"] == "bit-equal"
    assert pairs["cpu on m2", "cpu on m3"] == "different"
    assert row(page, "a cpu", "cpu", "`m3`").endswith(
        "| different (p below 1e-06), first different bit at step 1 |"
    )
    counts = (
        "Of 6 comparisons without cpu: 3 bit-equal, 3 different (different: xla:cpu and cpu on m3, "
        "cpu on m1 and cpu on m3, cpu on m2 and cpu on m3)."
    )
    assert counts in page
    assert counts in html()
    assert "- cpu and xla:cpu: bit-equal." in page
    assert "- cpu and cpu on m1" not in page


def test_one_other_machine_needs_no_count_of_pairs(pages) -> None:
    write_results("cpu")
    write_absent("gpu")
    export_from("m1")
    assert "comparisons without" not in pages("cpu", "gpu")
    assert [pair["other"] for pair in compared()["parity"]] == ["gpu", "cpu on m1"]


def test_equal_models_are_one_in_the_number_of_tests(pages) -> None:
    """Two different models are one test, however many pairs they form."""
    write_results("cpu", correct="1" * 7 + "0" * 33)
    for machine in ("m1", "m2"):
        export_from(machine, weights="v", losses=(9.0,) * 12, correct="0" * 40)
    for number in range(3, 8):  # not compared with any
        export_from(f"m{number}", weights=f"{number}", pixels=f"{number}")
    pages("cpu")
    kinds = {(p["one"], p["other"]): p["kind"] for p in compared()["parity"]}
    assert kinds["cpu", "cpu on m1"] == kinds["cpu", "cpu on m2"] == "different"
    assert kinds["cpu on m1", "cpu on m2"] == "bit-equal"
    assert kinds["cpu", "cpu on m3"] == "not compared"


def test_images_to_the_target_are_counted_in_the_machines_own_dataset(pages) -> None:
    write_results("cpu")
    export_from("m1", train_images=500, inputs={"dataset": "x"})
    pages("cpu")
    assert compared()["machines"][0]["training"]["to_target"]["images"] == 1000


def test_this_machines_export_is_not_another_machine(pages) -> None:
    local = write_results("cpu")
    write_exported(MACHINES / local.machine / "cpu.json", local)
    pages("cpu")
    assert compared()["machines"] == []


def test_without_local_results_the_fastest_machine_is_the_reference(pages) -> None:
    write_absent("gpu")
    for number in (1, 3, 2):
        export_from(f"m{number}", rate=60.0 + number)
    page = pages("gpu")
    assert compared()["reference"] == "cpu on m3"
    assert "The fastest of 3 on other machines, a cpu, cpu on m3, trains 63.00 images/s." in page
    assert "| the reference |" in row(page, "a cpu", "cpu", "`m3`")


def test_without_any_results_no_figure_is_invented(pages) -> None:
    write_absent("gpu")
    page = pages("gpu")
    assert compared()["parity"] == []
    assert "images/s (" not in page
    assert "<svg" not in html()


# Names that are markup

SPITEFUL = "<script>alert(1)</script> | `a` $x^ \x1b[31m[red]\u202e"


def test_nothing_that_others_name_is_markup_in_any_form(drawn_pages, capsys) -> None:
    """The names are those of devices and classes, and the reasons of absent accelerators."""
    write_results("cpu", device=SPITEFUL)
    write_absent("gpu", SPITEFUL)
    path, name = ResultPaths("cpu").own.predictions, SPITEFUL.replace("/", "-")
    lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
    renamed = [[cell.replace("class 0", name) for cell in line] for line in lines]
    write_csv(path, PREDICTION_HEADER, renamed)
    Path("data/test/class 0").rename(Path("data/test", name))
    export_from("m1", device=SPITEFUL)
    printed = drawn_pages("cpu", "gpu") + capsys.readouterr().out
    assert "\x1b" not in printed
    assert "<script" not in Path("reports/report.md").read_text()
    assert "<script" not in html()
    assert html().count("&lt;script&gt;alert(1)&lt;") >= 6
    rows = [line for line in printed.splitlines() if line.startswith("| ") and "alert" in line]
    assert len(rows) >= 4
    for line in rows:
        assert "&lt;script>alert(1)" in line
        assert r"\| \`a\` $x^ \x1b\[31m\[red\]\u202e" in line
    for chart in CHARTS:
        svg = Path(f"reports/{chart}.svg").read_bytes()
        assert b"<script" not in svg
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_what_others_wrote_is_no_markdown(pages) -> None:
    write_results("cpu")
    export_from("m1", device="[a](http://b) `c` *d* _e_ \\")
    assert r"| \[a\](http://b) \`c\` \*d\* \_e\_ \\ |" in pages("cpu")


# Charts and pictures


def test_equal_numbers_give_equal_charts(drawn_pages) -> None:
    write_results("cpu")
    drawings = []
    for _ in range(2):
        drawn_pages("cpu")
        drawings.append([Path(f"reports/{name}.svg").read_bytes() for name in CHARTS])
    assert drawings[0] == drawings[1]
    for svg in drawings[0]:
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert b"50.0" in drawings[0][0]
    accuracy = Path("reports/accuracy.svg").read_text()  # epochs end after 20, 40 and 60 s
    assert all(f">{time}</text>" in accuracy for time in ("20 s", "30 s", "1 min"))
    assert ">10 s</text>" not in accuracy


def measured_point(rate: float, **changes: Any) -> SweepPoint:
    rate, ratio = around(rate, 0.01), around(rate / 50, 0.01)
    return SweepPoint(changes=changes, status="ok", images_per_second=rate, ratio=ratio)


def failed_point(**changes: Any) -> SweepPoint:
    return SweepPoint(changes=changes, status="out of memory", reason="much")


def test_a_sweep_is_drawn_where_one_ran(drawn_pages) -> None:
    """A point without a batch size has the run's batch size; a failed point has its reason."""
    write_results("cpu")
    drawn_pages("cpu")
    assert "sweep-" not in html()
    points = [
        measured_point(40.0 + size, batch_size=size, precision=precision)
        for size in (16, 32)
        for precision in ("32-true", "bf16-mixed")
    ]
    points += [measured_point(40.0, num_workers=2), failed_point(num_workers=4)]
    write_results("cpu", measured={"sweep": (*points, failed_point(batch_size=64))})
    page = drawn_pages("cpu")
    assert "batch_size 32, num_workers 2 | 40.0 (39.6 to 40.4) | 0.800 (0.792 to 0.808) |" in page
    assert "| cpu | batch_size 32, num_workers 4 | out of memory: much | - |" in page
    drawing = Path("reports/sweep.svg").read_text()
    labels = (16, 32, 64, "precision bf16-mixed", "num_workers 2")
    assert all(f">{label}</text>" in drawing for label in labels)
    assert "sweep-" in html()


def test_several_devices_have_a_chart_of_their_own(drawn_pages) -> None:
    points = (measured_point(90.0, devices=2), measured_point(170.0, devices=4, batch_size=8))
    write_results("cpu", measured={"sweep": points})
    page = drawn_pages("cpu")
    assert "| batch_size 32, devices 2 | 90.0 (89.1 to 90.9) | 1.800 (1.782 to 1.818) |" in page
    drawing = Path("reports/scaling.svg").read_text()
    assert all(f">{label}</text>" in drawing for label in (1, 2, 4, "batch_size 8"))
    assert "scaling-" in html()
    assert "sweep-" not in html()


def test_devices_have_a_scaling_efficiency_unless_they_share_a_processor() -> None:
    point = measured_point(90.0, devices=2, batch_size=32)
    ratios = {name: wording.outcome(point, name)[1] for name in ("gpu", "cpu")}
    assert ratios == {
        "gpu": "1.800 (1.782 to 1.818); scaling efficiency 90%",
        "cpu": "1.800 (1.782 to 1.818)",
    }


def test_the_page_has_test_images_and_confusions(pages) -> None:
    write_results("cpu", correct="1110" * 6)
    pages("cpu")
    assert html().count("data:image/jpeg") == 24 + 2
    assert "6 of 12 <bdi>class 1</bdi> taken for <bdi>class 0</bdi>" in html()


def test_a_missing_test_image_is_named(pages) -> None:
    write_results("cpu")
    Path("data/test/class 0/000.png").unlink()
    with pytest.raises(UserError, match=r"data/test/class 0/000\.png is not here.*make repro"):
        pages("cpu")


def test_charts_in_a_page_take_its_colours_and_have_words(drawn_pages) -> None:
    write_results("cpu")
    drawn_pages("cpu")
    page = html()
    drawings = [part.split("</svg>")[0] for part in page.split("<svg ")[1:]]
    assert len(drawings) == 5
    for drawing in drawings:
        assert drawing.startswith('role="img" aria-label="')
        assert not any(part in drawing for part in ("#000000", "#ffffff", "<metadata"))
    for words in (
        "cpu 50.00.", "cpu from 4 to 0.64 in 12 steps.", "cpu 80.0% of 1 min 2 s.",
        "cpu 640 ms, nine of ten from 582 ms to 698 ms.",
    ):  # fmt: skip
        assert any(words in drawing.split('"')[3] for drawing in drawings)
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_the_summary_is_printed_where_the_report_cannot_be_written(pages, capsys) -> None:
    write_results("cpu")
    pages("cpu")
    summary = capsys.readouterr().out.splitlines()[0]
    Path("reports/comparison.json").unlink()
    Path("reports/comparison.json").mkdir()
    with pytest.raises(OSError, match=r"comparison\.json"):
        pages("cpu")
    assert capsys.readouterr().out.startswith(f"{summary}\n")


def test_a_stage_that_has_not_run_is_named(pages) -> None:
    with pytest.raises(UserError, match=r"none/own\.json is not here.*make repro"):
        pages("none")

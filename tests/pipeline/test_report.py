"""The report stage: every form of what the stages wrote."""

import json
import xml.etree.ElementTree as ElementTree
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from benchmark.common.files import write_csv, write_json
from benchmark.common.parameters import ReportParameters
from benchmark.common.results import PREDICTION_HEADER, WEIGHTS, ResultPaths, write_result
from benchmark.errors.user_error import UserError
from benchmark.report import wording
from benchmark.report.record import MACHINES, export
from benchmark.report.schema import Record, Session
from benchmark.throughput.schema import IntervalWidth, NotMeasured, SweepPoint, Throughput
from tests.support import made_records
from tests.support.made_records import (
    around,
    record,
    training,
    write_absent,
    write_exported,
    write_results,
    write_training,
)

WIDE = IntervalWidth(widest="trainer_over_loop", width=0.07, target=0.03, seconds=240.0)
SAME = "the first 10 of 12 steps, repeated in a new process, are equal bit for bit"
CHARTS = ("throughput", "loss", "accuracy", "steps", "sweep", "scaling", "classes")


def compared() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("reports/comparison.json").read_text())
    return found


def html() -> str:
    return Path("reports/report.html").read_text(encoding="utf-8")


def test_a_row_with_figures_and_rows_with_reasons(pages) -> None:
    write_results("cpu")
    write_absent("gpu")
    lines = pages("cpu", "gpu").splitlines()
    assert (
        "| cpu | a cpu | 50.00 (49.75 to 50.25) | the reference | 75.0% (59.8% to 85.8%) "
        "| 40 s, 2,000 images | 1 min 2 s |"
    ) in lines
    reason = "| gpu | unavailable: no CUDA or MPS device found | - | - | - | - | - |"
    assert reason in lines
    assert (
        "**cpu trains 50.00 images/s and reaches 75.0% test accuracy; gpu not measured.**" in lines
    )
    assert "3 classes, 1,000 train, 250 val, 40 test images" in "\n".join(lines)
    assert compared().keys() >= {
        "schema_version", "summary", "accelerators", "parity", "machines"
    }  # fmt: skip


def test_time_counts_to_the_end_of_the_first_epoch_that_reaches_the_target(pages) -> None:
    write_results("cpu")
    pages("cpu")
    [entry] = compared()["accelerators"]
    assert entry["training"]["to_target"] == {"epochs": 2, "seconds": 40.0, "images": 2000}


def test_features_count_in_the_time(pages) -> None:
    write_results("cpu")
    timing = json.loads(ResultPaths("cpu").own.timing.read_text()) | {"features_seconds": 7.0}
    write_json(ResultPaths("cpu").own.timing, timing)
    pages("cpu")
    assert compared()["accelerators"][0]["training"]["to_target"]["seconds"] == 47.0


def test_a_step_is_shared_out_with_intervals(pages) -> None:
    write_results("cpu")
    page = pages("cpu")
    shares = "computing 97.5% (96.5% to 98.5%), input 2.0% (1.8% to 2.2%), Lightning 0.5% (0.4% "
    assert f"- A training step of cpu: {shares}" in page
    assert f'aria-label="A training step of cpu: {shares}' in html()
    said = "computing limits the speed: it takes 97.5% of a training step."
    assert f"- cpu: {said}" in page
    assert f"<li><bdi>cpu</bdi>: {said}</li>" in html()


def test_a_part_that_was_not_measured_says_why(pages) -> None:
    missing = NotMeasured(status="refused", reason="the disk is full")
    found = record("cpu").throughput
    efficiency = found.efficiency.model_copy(
        update={"decoding": missing, "peak": missing, "utilisation": None}
    )
    trainer = found.trainer.model_copy(update={"overhead": missing})
    write_results("cpu", measured={"efficiency": efficiency, "trainer": trainer})
    why = "unavailable: the disk is full"
    page = pages("cpu")
    assert f"1.00 s (0.90 to 1.10) | {why} | {why} |" in page
    assert "| unavailable | unavailable | host 2.0 GiB" in page
    assert html().count(f"<span>{why}</span>") == 2


def test_what_was_measured_besides_is_shown(pages) -> None:
    write_results("cpu")
    page = pages("cpu")
    assert "| cpu | 50.00 (49.75 to 50.25) | 52.00 (51.87 to 52.13) | 1.000 (0.990 to 1.01" in page
    start = "1.00 s (0.90 to 1.10) | 0.300 ms a step, 3.00 ms an epoch | 2,000 (1,900 to 2,100) |"
    assert start in page
    question = "What do deterministic kernels cost? | Deterministic / any kernels, resident batch"
    assert f"| {question} | 0.990 (0.980 to 1.000) |" in page
    assert "Deterministic / any kernels, resident batch" in html()


def test_what_a_vendor_promises_stands_beside_what_was_reached(pages) -> None:
    efficiency = record("cpu").throughput.efficiency
    promised = efficiency.model_copy(update={"vendor_utilisation": around(0.25, 0.02)})
    write_results("cpu", measured={"efficiency": promised})
    assert "| cpu | 50.0% (49.0% to 51.0%) | 25.0% (24.5% to 25.5%) | host 2.0" in pages("cpu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {},
            "- cpu: stable. Stopped after 3 min 20 s: every interval is at most 3% wide. ",
        ),
        (
            {"measured": {"interval_width": WIDE}},
            "After 4 min 0 s the interval of Trainer / plain loop is 7.0% wide, not 3%.",
        ),
    ],
)
def test_how_narrow_the_intervals_are_is_said(pages, options: dict[str, Any], said: str) -> None:
    write_results("cpu", **options)
    assert said in pages("cpu")
    assert said.removeprefix("- cpu: ") in html()


def test_a_price_gives_costs_and_measures_nothing(pages) -> None:
    """36 an hour is a hundredth a second: 50 images/s, 62 s of training, 40 s to the target."""
    write_results("cpu")
    write_exported(MACHINES / "m1/cpu.json", record(machine="m1"))
    asked = ReportParameters(
        target_accuracy=0.6, margin=0.05, price_per_hour={"cpu": 36.0}, currency="EUR"
    )
    page = pages("cpu", report=asked)
    costs = "36.0 EUR an hour | 200.0 EUR (199.0 to 201.0) | 0.620 EUR | 0.400 EUR | unavail"
    assert f"| cpu | {costs}" in page
    assert "<span>200.0 EUR (199.0\u00a0to\u00a0201.0)</span>" in html()
    [row] = [line for line in page.splitlines() if "| `m1` |" in line]
    assert "| no price |" in row
    assert "No price is set" not in page
    assert compared()["accelerators"][0]["cost"]["currency"] == "EUR"


def test_what_differs_between_sessions_is_said(pages, change) -> None:
    for rate in (50.0, 51.0):
        write_results("cpu", rate=rate, workload={"code": f"{rate}"})
        if rate == 50.0:
            assert (
                ". No other session is recorded: how much sessions differ is not known."
                in pages("cpu")
            )
        export(change())
    assert " 2 sessions are recorded, too few to tell how much they differ." in pages("cpu")
    write_results("cpu", rate=52.0, workload={"code": "x"})
    assert " 3 sessions are recorded, standard deviation 2.0%." in pages("cpu")


def test_a_ratio_of_known_sessions_holds_what_differs_between_them(pages, change) -> None:
    """Of both machines, that of the livelier one: sd 2 %, t of 2 degrees 4.3, and two of them."""
    other = record(machine="m1", rate=50.0)
    for rate in (49.0, 50.0, 51.0):
        write_results("cpu", rate=rate, workload={"code": f"{rate}"})
        export(change())
    write_results("cpu", rate=50.0, workload={"code": "50.0"})
    path = MACHINES / "m1/cpu.json"
    calm = tuple(
        Session(code="c", date="", images_per_second={"trainer": r}) for r in (50.0, 50.1, 50.2)
    )
    for sessions, said in (((), "1.000 (0.994 to 1.006)"), (calm, "1.00 (0.89 to 1.13)")):
        found = other.model_copy(update={"sessions": sessions})
        write_exported(path, found.model_copy(update={"throughput": now_code(found, "50.0")}))
        assert f"| no difference detected: {said} |" in pages("cpu")


def now_code(found: Record, code: str) -> Throughput:
    """Its measurement, of other code."""
    workload = found.throughput.workload.model_copy(update={"code": code})
    return found.throughput.model_copy(update={"workload": workload})


def test_a_control_stands_beside_its_training(drawn_pages) -> None:
    write_results("cpu")
    missed = training(correct="0001" * 10, pixels="x", accuracies=(0.1,) * 3)
    write_training(ResultPaths("cpu").control, missed)
    page = drawn_pages("cpu", controls=("cpu",))
    row = "| cpu, random weights (control) | 25.0% (14.2% to 40.2%) | 25.0% | 95.0% | 3 of 3 |"
    assert row in page
    assert "| cpu, random weights (control) | not reached in 1 min 2 s | 1 min 2 s | 3 |" in page
    assert "75.0% test accuracy (25.0% from random weights).**" in page
    alike = "sample order equal, first pixels different, number of steps equal"
    assert f"- cpu: +50.0 points against its control ({alike})." in page
    assert "random weights (control)" in Path("reports/accuracy.svg").read_text()
    assert compared()["flags"] == ["A control of other first pixels: cpu."]


def test_without_a_control_nothing_is_said_of_one(pages) -> None:
    write_results("cpu")
    assert "(control)" not in pages("cpu")


def test_classes_of_all_sizes_count_alike_in_their_mean(pages) -> None:
    """Of the first class every image is found, of the second none."""
    write_results("cpu", correct="10" * 20, weights="w")
    control = training(correct="0" * 40)
    write_training(ResultPaths("cpu").control, control)
    page = pages("cpu", controls=("cpu",))
    assert "| cpu | 50.0% (35.2% to 64.8%) | 50.0% | 95.0% |" in page
    assert "Always naming the commonest class would give 50.0%." in page
    found = compared()["accelerators"][0]["training"]
    assert (found["balanced_accuracy"], found["commonest_class"]) == (0.5, 0.5)


def test_uneven_classes_are_told_by_their_mean(pages) -> None:
    """Nine images of ten are of one class, and all answers are that class."""
    write_results("cpu", correct="1" * 18 + "0" * 2)
    path = ResultPaths("cpu").own.predictions
    labels = ["a"] * 18 + ["b"] * 2
    rows = [
        (f"class {k % 2}/{k // 2 % 2:03}.png", label, "a", 0.5) for k, label in enumerate(labels)
    ]
    write_csv(path, PREDICTION_HEADER, rows)
    pages("cpu")
    found = compared()["accelerators"][0]["training"]
    assert found["test_accuracy"]["estimate"] == found["commonest_class"] == 0.9
    assert found["balanced_accuracy"] == 0.5
    assert "<span>0 of 2</span>" in html()
    assert "| b | 0 of 2 | 0% |" in Path("reports/report.md").read_text()


def test_every_run_of_several_seeds_is_shown_and_a_miss_counts(pages) -> None:
    missed = training(correct="10" * 20, accuracies=(0.1, 0.2, 0.3))
    write_results("cpu", seeds={8: missed, 9: training(correct="1" * 40)})
    page = pages("cpu", seeds=(8, 9))
    assert "| cpu, seed 8 | 50.0% (35.2% to 64.8%) | 50.0% |" in page
    assert "| cpu, seed 8 | not reached in 1 min 2 s |" in page
    said = "over 3 seeds, mean test accuracy 75.0% (12.9% to 100.0%), all on the same test images, "
    assert said in page
    assert said.replace("9% to 1", "9%\u00a0to\u00a01") in html()
    assert "standard deviation 25.0 points; 2 of 3 runs reached 60%." in page


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
    write_results("cpu")
    parameters = change(**changed)
    assert said in pages("cpu", model=parameters.model, train=parameters.train)


def test_weights_from_a_file_are_named_with_their_card(pages) -> None:
    write_results("cpu")
    card = {"source": "200 species", "images_seen": 12345, "source_test_accuracy": 0.5}
    write_json(WEIGHTS, {"weights": "source", "sha256": "cd" * 32, "card": card})
    said = "(12,345 images seen, 50.0% of its own test images right)"
    line = f"- Weights `source`: file `cdcdcdcdcdcd`, trained on 200 species {said}."
    assert line in pages("cpu")
    write_json(WEIGHTS, {"weights": "my.pt", "sha256": "cd" * 32})
    assert "- Weights `my.pt`: file `cdcdcdcdcdcd`." in pages("cpu")


def test_the_fastest_of_several_leads(pages) -> None:
    write_results("cpu")
    write_results("gpu", rate=500)
    verdict = (
        "**gpu trains 500.0 images/s, 10.00 times the rate of cpu (9.94 to 10.06), and reaches "
        "75.0% test accuracy; results: bit-equal.**"
    )
    page = pages("cpu", "gpu")
    assert verdict in page
    assert "| 10.00 (9.94 to 10.06) |" in page


def test_the_fastest_of_three_is_compared_with_the_second_too(pages) -> None:
    write_results("cpu")
    write_results("gpu", rate=500, weights="v", losses=(9.0,) * 12, correct="0" * 40)
    write_results("tpu", rate=750)
    said = (
        "**tpu trains 750 images/s, 15.00 times the rate of cpu (14.91 to 15.09) and 1.500 times "
        "that of gpu (1.491 to 1.509), and reaches 75.0% test accuracy; results: accuracies "
        "different (cpu and gpu, gpu and tpu), bit-equal (cpu and tpu).**"
    )
    assert said in pages("cpu", "gpu", "tpu")


def test_a_slower_one_does_not_lead(pages) -> None:
    write_results("cpu")
    write_results("xla", label="xla:cpu", rate=10)
    verdict = (
        "**cpu trains 50.00 images/s, 5.000 times the rate of xla:cpu (4.969 to 5.031), and reach"
    )
    assert verdict in pages("cpu", "xla")


@pytest.mark.parametrize(("spread", "said"), [(0.005, False), (0.05, True)])
def test_a_difference_within_the_interval_is_none(pages, spread: float, said: bool) -> None:
    write_results("cpu", spread=spread)
    write_results("xla", label="xla:cpu", rate=48.5)
    page = pages("cpu", "xla")
    assert ("no difference to xla:cpu detected" in page) == said
    assert ("| no difference detected: 0.97 (0.9" in page) == said


def test_what_saw_other_samples_is_flagged_and_has_no_ratio(pages) -> None:
    write_results("cpu")
    write_results("xla", label="xla:cpu", order_by_epoch=["x0", "x1", "x2"], pixels="q" * 64)
    page = pages("cpu", "xla")
    assert "| not compared: other sample orders and pixels |" in page
    assert "- cpu and xla:cpu: not compared: sample orders and pixels differ." in page
    assert "the speed of xla:cpu cannot be compared with that of cpu; results: not comp" in page


def test_what_cannot_be_relied_on_is_said_first(pages) -> None:
    write_results("cpu")
    assert compared_flags(pages) == []
    write_results("cpu", measured={"verdict": made_records.DISTURBED})
    write_result(ResultPaths("cpu").own.replay, made_records.replay(first_different_step=4))
    assert compared_flags(pages) == ["Unstable speed: cpu.", "Not reproduced: cpu."]
    lines = Path("reports/report.md").read_text().splitlines()
    assert lines.index("> Unstable speed: cpu.") < lines.index(next_row(lines))
    assert "50.00 (49.75 to 50.25), unstable" in next_row(lines)
    assert '<p class="flag">Unstable speed: cpu.</p>' in html()


@pytest.mark.parametrize(("right", "guessed"), [(26, True), (27, False)])
def test_an_accuracy_that_may_be_chance_is_said_so(pages, right: int, guessed: bool) -> None:
    """Of 40 images in two equal classes: Wilson's intervals begin at 49.5 % and at 52.0 %."""
    write_results("cpu", correct="1" * right + "0" * (40 - right))
    said = "test accuracy, not detectably more than always naming the commonest class would (50.0%)"
    assert (said in pages("cpu")) == guessed
    assert compared_flags(pages) == (["No more accurate than a guess: cpu."] if guessed else [])


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"packages": {"torch": "2.8.0"}}, "Other software, torch 2.8.0: cpu on m1."),
        ({"packages": {"more": "1"}}, "Other software, more 1: cpu on m1."),
        ({"inputs": {"code": "x"}}, "Other training code: cpu on m1."),
    ],
)
def test_what_else_a_difference_may_come_from_is_said(pages, options, flag: str) -> None:
    write_results("cpu")
    found = record(machine="m1", **options)
    write_exported(MACHINES / "m1/cpu.json", found)
    assert compared_flags(pages) == [flag]


def test_a_speed_does_not_depend_on_how_long_one_trains(pages) -> None:
    write_results("cpu")
    found = record(machine="m1", inputs={"parameters": "x"})
    write_exported(MACHINES / "m1/cpu.json", found)
    assert "| no difference detected: 1.000 (0.994 to 1.006) |" in pages("cpu")
    assert compared()["parity"][0]["claim"] == "not compared: parameters differ"


def test_what_others_wrote_is_no_markdown(pages) -> None:
    write_results("cpu")
    found = record(machine="m1", device="[a](http://b) `c` *d* _e_ \\")
    write_exported(MACHINES / "m1/cpu.json", found)
    shown = r"| \[a\](http://b) \`c\` \*d\* \_e\_ \\ |"
    assert shown in pages("cpu")


SPITEFUL = "<script>alert(1)</script> | `a` $x^ \x1b[31m[red]\u202e"


def test_nothing_that_others_name_is_markup_in_any_form(drawn_pages, capsys) -> None:
    """Devices, classes and reasons."""
    write_results("cpu", device=SPITEFUL)
    write_absent("gpu", SPITEFUL)
    rename_a_class(SPITEFUL.replace("/", "-"))
    write_exported(MACHINES / "m1/cpu.json", record(machine="m1", device=SPITEFUL))
    said = drawn_pages("cpu", "gpu") + capsys.readouterr().out
    assert "\x1b" not in said
    assert "<script" not in Path("reports/report.md").read_text()
    assert "<script" not in html()
    assert html().count("&lt;script&gt;alert(1)&lt;") >= 6
    rows = [line for line in said.splitlines() if line.startswith("| ") and "alert" in line]
    assert len(rows) >= 4
    for row in rows:
        assert "&lt;script>alert(1)" in row
        assert r"\| \`a\` $x^ \x1b\[31m\[red\]\u202e" in row
    for name in CHARTS:
        svg = Path(f"reports/{name}.svg").read_bytes()
        assert b"<script" not in svg
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def rename_a_class(name: str) -> None:
    """In what was predicted, with its images."""
    path = ResultPaths("cpu").own.predictions
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    named = [[part.replace("class 0", name) for part in row] for row in rows]
    write_csv(path, PREDICTION_HEADER, named)
    Path("data/test/class 0").rename(Path("data/test", name))


@pytest.mark.parametrize(("target", "said"), [(0.625, "62.5%"), (0.6, "60%"), (0.995, "99.5%")])
def test_the_target_is_said_with_its_digits(pages, change, target: float, said: str) -> None:
    write_results("cpu")
    parameters = change(report={"target_accuracy": target})
    assert f"| To {said} validation accuracy |" in pages("cpu", report=parameters.report)
    assert f">To {said} validation accuracy<" in html()


def test_a_low_rate_has_digits(pages) -> None:
    write_results("cpu", rate=0.412)
    assert "**cpu trains 0.4120 images/s" in pages("cpu")


def test_of_many_only_some_are_named_in_a_flag(pages) -> None:
    write_results("cpu")
    for number in range(5):
        found = record(machine=f"m{number}", workload={"code": "x"})
        write_exported(MACHINES / f"m{number}/cpu.json", found)
    names = "cpu on m0, cpu on m1, cpu on m2 and 2 more"
    assert compared_flags(pages) == [f"No ratio of speeds (other code): {names}."]


def compared_flags(pages: Any) -> list[str]:
    pages("cpu")
    flags: list[str] = compared()["flags"]
    return flags


def next_row(lines: list[str]) -> str:
    return next(line for line in lines if line.startswith("| cpu |"))


def test_replays_are_told(pages) -> None:
    write_results("cpu")
    assert f"- cpu: reproduced: {SAME}." in pages("cpu")
    write_result(ResultPaths("cpu").own.replay, made_records.replay(first_different_step=4))
    assert "- cpu: not reproduced: first difference at step 4 of 10." in pages("cpu")


def test_the_replay_of_every_training_is_told(pages) -> None:
    write_results("cpu", seeds={8: training(first_different_step=2), 9: training()})
    write_training(ResultPaths("cpu").control, training(first_different_step=3))
    page = pages("cpu", seeds=(8, 9), controls=("cpu",))
    lines = [
        f"cpu: reproduced: {SAME}.",
        "cpu, random weights (control): not reproduced: first difference at step 3 of 10.",
        "cpu, seed 8: not reproduced: first difference at step 2 of 10.",
        f"cpu, seed 9: reproduced: {SAME}.",
    ]
    assert "\n".join(f"- {line}" for line in lines) in page
    for line in lines:
        name, said = line.split(": ", 1)
        assert f"<li><bdi>{name}</bdi>: {said}</li>" in html()
    flag = "Not reproduced: cpu, random weights (control), cpu, seed 8."
    assert compared()["flags"] == [flag]


def test_results_of_other_machines_appear(drawn_pages) -> None:
    write_results("cpu")
    for machine, options in {"m1": {"rate": 60.0}, "m2": {"workload": {"code": "x"}}}.items():
        found = record(machine=machine, **options)
        write_exported(MACHINES / machine / "cpu.json", found)
    page = drawn_pages("cpu")
    rows = [line for line in page.splitlines() if line.startswith("| a cpu |")]
    assert [row.split(" | ")[2] for row in rows] == ["`m1`", "this one", "`m2`"]
    assert "| a cpu | cpu | `m1` | 60.00 (59.70 to 60.30) | 1.200 (1.193 to 1.207) |" in rows[0]
    end = "| 75.0% (59.8% to 85.8%) | 40 s, 2,000 images | no price | bit-equal |"
    assert rows[0].endswith(end)
    assert "| 50.00 (49.75 to 50.25) | not compared: other code |" in rows[2]
    assert "test accuracy. On another machine a cpu, cpu on m1, trains 60.00 images/s." in page
    chart = Path("reports/throughput.svg").read_text()
    assert "a cpu, cpu m1" in chart
    assert "1.20 ×" in chart
    assert "cpu m2" not in chart
    assert 'aria-label="Bars of images per second: cpu on m1 60.00; cpu 50.00."' in html()


def test_the_fastest_of_other_machines_is_named(pages) -> None:
    write_absent("gpu")
    for number in (1, 3, 2):
        found = record(machine=f"m{number}", rate=60.0 + number)
        write_exported(MACHINES / f"m{number}/cpu.json", found)
    said = "The fastest of 3 on other machines, a cpu, cpu on m3, trains 63.00 images/s.**"
    assert f"so nothing was measured. {said}" in pages("gpu")


def test_other_machines_are_compared_with_one_another(pages) -> None:
    """Beside its speed, what each one's results are beside the reference's; the others in sum."""
    write_results("cpu")
    write_results("xla", label="xla:cpu")
    lost = {"weights": "v", "losses": (9.0,) * 12, "correct": "0" * 40}
    for machine, trained in {"m1": {}, "m2": {}, "m3": lost}.items():
        found = record(machine=machine, **trained)
        write_exported(MACHINES / machine / "cpu.json", found)
    page = pages("cpu", "xla")
    pairs = {(p["one"], p["other"]): p["kind"] for p in compared()["parity"]}
    names = ["cpu", "xla:cpu", "cpu on m1", "cpu on m2", "cpu on m3"]
    assert [*pairs] == [
        ("cpu", "xla:cpu"), *product(names[:2], names[2:]), *combinations(names[2:], 2)
    ]  # fmt: skip
    assert pairs["cpu on m1", "cpu on m2"] == "bit-equal"
    assert pairs["cpu on m2", "cpu on m3"] == "different"
    [row] = [line for line in page.splitlines() if "| `m3` |" in line]
    assert "| different (p below 1e-06), first different bit at step 1 |" in row
    said = (
        "Of 6 pairs without cpu: 3 bit-equal, 3 different (different: xla:cpu and cpu on m3, "
        "cpu on m1 and cpu on m3, cpu on m2 and cpu on m3)."
    )
    assert said in page
    assert said in html()
    assert "- cpu and xla:cpu: bit-equal." in page
    assert "- cpu and cpu on m1" not in page
    assert "; results: bit-equal. The fastest of 3" in page


def test_a_pair_of_machines_needs_no_further_line(pages) -> None:
    write_results("cpu")
    write_absent("gpu")
    write_exported(MACHINES / "m1/cpu.json", record(machine="m1"))
    assert "pairs without" not in pages("cpu", "gpu")
    assert [pair["other"] for pair in compared()["parity"]] == ["gpu", "cpu on m1"]


def test_equal_models_are_one_in_the_number_of_tests(pages) -> None:
    """Of two models there is one test: p = 2 / 2^7 counts, however many pairs there are."""
    write_results("cpu", correct="1" * 7 + "0" * 33)
    other = {"weights": "v", "losses": (9.0,) * 12, "correct": "0" * 40}
    for machine in ("m1", "m2"):
        found = record(machine=machine, **other)
        write_exported(MACHINES / machine / "cpu.json", found)
    for number in range(5):  # not compared with any
        machine = f"m{number + 3}"
        found = record(machine=machine, weights=f"{number}", pixels=f"{number}")
        write_exported(MACHINES / machine / "cpu.json", found)
    pages("cpu")
    kinds = {(p["one"], p["other"]): p["kind"] for p in compared()["parity"]}
    assert kinds["cpu", "cpu on m1"] == kinds["cpu", "cpu on m2"] == "different"
    assert kinds["cpu on m1", "cpu on m2"] == "bit-equal"
    assert kinds["cpu", "cpu on m3"] == "not compared"


def test_images_to_the_target_are_those_of_the_machines_own_dataset(pages) -> None:
    write_results("cpu")
    found = record(machine="m1", train_images=500, inputs={"dataset": "x"})
    write_exported(MACHINES / "m1/cpu.json", found)
    pages("cpu")
    [entry] = compared()["machines"]
    assert entry["training"]["to_target"]["images"] == 1000


def test_this_machines_own_export_does_not_stand_beside_it(pages) -> None:
    found = write_results("cpu")
    write_exported(MACHINES / found.machine / "cpu.json", found)
    assert "How do all machines compare?" not in pages("cpu")


def test_other_machines_appear_where_this_one_has_nothing(pages) -> None:
    write_absent("gpu")
    write_exported(MACHINES / "m1/cpu.json", record(machine="m1"))
    page = pages("gpu")
    assert "nothing was measured" in page
    assert compared()["parity"] == []
    assert "| Images/s | Relative to cpu on m1 |" in page
    assert "| a cpu | cpu | `m1` | 50.00 (49.75 to 50.25) | the reference |" in page


def test_nothing_present_is_said_and_no_figure_invented(pages) -> None:
    write_absent("gpu")
    page = pages("gpu")
    assert "nothing was measured" in page
    assert "images/s (" not in page
    assert "<svg" not in html()


def test_a_reason_cannot_break_the_table(pages) -> None:
    write_absent("tpu", "a | b\nc")
    assert "unavailable: a \\| b c |" in pages("tpu")


def test_charts_are_whole_and_the_same_each_time(drawn_pages) -> None:
    write_results("cpu")
    drawings = []
    for _ in range(2):
        drawn_pages("cpu")
        drawings.append([Path(f"reports/{name}.svg").read_bytes() for name in CHARTS])
    assert drawings[0] == drawings[1]
    for svg in drawings[0]:
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert b"50.0" in drawings[0][0]


def test_a_race_has_round_times_on_its_axis(drawn_pages) -> None:
    """Epochs end after 20, 40 and 60 s."""
    write_results("cpu")
    drawn_pages("cpu")
    drawing = Path("reports/accuracy.svg").read_text()
    assert all(f">{time}</text>" in drawing for time in ("20 s", "30 s", "1 min"))
    assert ">10 s</text>" not in drawing


def measured_point(rate: float, **changes: Any) -> SweepPoint:
    rate, ratio = around(rate, 0.01), around(rate / 50, 0.01)
    return SweepPoint(changes=changes, status="ok", images_per_second=rate, ratio=ratio)


def failed_point(**changes: Any) -> SweepPoint:
    return SweepPoint(changes=changes, status="out of memory", reason="much")


def test_a_sweep_is_drawn_where_one_ran(drawn_pages) -> None:
    write_results("cpu")
    drawn_pages("cpu")
    assert "sweep-" not in html()
    points = [
        measured_point(40.0 + size, batch_size=size, precision=precision)
        for size in (16, 32)
        for precision in ("32-true", "bf16-mixed")
    ]
    write_results("cpu", measured={"sweep": (*points, failed_point(batch_size=64))})
    drawn_pages("cpu")
    drawing = Path("reports/sweep.svg").read_text()
    assert ">precision bf16-mixed</text>" in drawing
    assert all(f">{size}</text>" in drawing for size in (16, 32, 64))
    assert "sweep-" in html()


def test_several_devices_have_a_chart_of_their_own(drawn_pages) -> None:
    """Nobody is advised to use them."""
    together = measured_point(90.0, devices=2)
    more = measured_point(170.0, devices=4, batch_size=8)
    write_results("cpu", measured={"sweep": (together, more)})
    page = drawn_pages("cpu")
    assert "| batch_size 32, devices 2 | 90.0 (89.1 to 90.9) | 1.800 (1.782 to 1.818) |" in page
    assert "times as fast" not in page
    drawing = Path("reports/scaling.svg").read_text()
    assert all(f">{label}</text>" in drawing for label in (1, 2, 4, "batch_size 8"))
    assert "scaling-" in html()
    assert "sweep-" not in html()


def test_what_devices_make_of_their_number_is_said_where_each_has_its_own() -> None:
    """Processes on one processor share it."""
    point = measured_point(90.0, devices=2, batch_size=32)
    said = {name: wording._against_own(point, name) for name in ("gpu", "cpu")}
    assert said == {
        "gpu": "1.800 (1.782 to 1.818); 90% of 2 times one",
        "cpu": "1.800 (1.782 to 1.818)",
    }


def test_every_point_of_a_sweep_is_told(drawn_pages) -> None:
    """One without a batch size has the run's; one that failed says why."""
    points = (measured_point(40.0, num_workers=2), failed_point(num_workers=4))
    write_results("cpu", measured={"sweep": points})
    page = drawn_pages("cpu")
    assert "num_workers 2 | 40.0 (39.6 to 40.4) | 0.800 (0.792 to 0.808) |" in page
    assert "| cpu | batch_size 32, num_workers 4 | out of memory: much | - |" in page
    assert "<span>out of memory: much</span>" in html()
    assert ">num_workers 2</text>" in Path("reports/sweep.svg").read_text()


def test_the_page_shows_test_images_and_what_is_mixed_up(pages) -> None:
    write_results("cpu", correct="1110" * 6)
    pages("cpu")
    page = html()
    assert page.count("data:image/jpeg") == 24 + 2
    assert "6 of 12 <bdi>class 1</bdi> taken for <bdi>class 0</bdi>" in page


def test_a_page_without_its_images_says_which(pages) -> None:
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
        assert "#000000" not in drawing
        assert "#ffffff" not in drawing
        assert "<metadata" not in drawing
    assert 'aria-label="Bars of images per second: cpu 50.00."' in page
    assert 'aria-label="Training loss by step: cpu from 4 to 0.64 in 12 steps."' in page
    assert "of the best epoch: cpu 80.0% of 1 min 2 s." in page
    assert "single training steps: cpu 640 ms, nine of ten from 582 ms to 698 ms." in page
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_a_stage_that_has_not_run_is_named(pages) -> None:
    with pytest.raises(UserError, match=r"none/own\.json is not here.*make repro"):
        pages("none")

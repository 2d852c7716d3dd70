import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.common.errors import UserError
from benchmark.common.files import read_json
from benchmark.common.results import Results
from benchmark.common.statistics import Interval
from benchmark.machine import lock
from benchmark.machine.accelerators import find
from benchmark.throughput import throughput
from benchmark.throughput.measurements import Sample

CPU = find("cpu")
STABLE = Interval(50.0, 49.0, 51.0)
EVEN = Interval(1.0, 0.99, 1.01)


@pytest.fixture(autouse=True)
def quiet(monkeypatch) -> None:
    monkeypatch.setattr(lock, "warn_if_busy", lambda: None)


@pytest.fixture
def small_worker(monkeypatch) -> None:
    """Measuring processes with the small network."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setattr(throughput, "WORKER", "tests.throughput.small_process")


@pytest.mark.slow
@pytest.mark.usefixtures("small_worker")
def test_the_result_holds_rates_ratios_and_what_they_rest_on(change, workspace, capsys) -> None:
    parameters = change(throughput={"price_per_hour": {"cpu": 3.6}})
    throughput.run(CPU, parameters)
    result = read_json(Results("cpu").throughput)
    assert result["status"] == "ok"
    assert result["modes"].keys() == {
        "trainer", "compute", "loop", "input", "baseline", "baseline_input",
    }  # fmt: skip
    assert result["ratios"].keys() == {
        "trainer_over_loop", "trainer_over_compute", "trainer_over_baseline",
        "input_over_baseline_input",
    }  # fmt: skip
    intervals = [mode["images_per_second"] for mode in result["modes"].values()]
    for found in (*intervals, *result["ratios"].values(), result["noise_floor"]):
        assert 0 < found["low"] <= found["estimate"] <= found["high"]
    assert result["verdict"].split(":")[0] in ("stable", "unstable")
    assert result["workload"]["batch_size"] == 4
    assert result["workload"]["network"] == "resnet50"
    assert result["workload"]["weights"] == "random"
    assert len(result["samples"]) == 2
    assert "sweep" not in result
    efficiency = result["efficiency"]
    rate, flops = intervals[0]["estimate"], efficiency["flops_per_image"]
    assert efficiency["flops_per_second"]["estimate"] == pytest.approx(rate * flops)
    assert efficiency["utilisation"]["estimate"] > 0
    assert efficiency["cost_per_million_images"]["low"] > 0
    assert efficiency["data_wait_share"].keys() == {"loop", "baseline"}
    assert efficiency["energy"]["status"] in ("ok", "unavailable")
    assert "cpu process 2: " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("small_worker")
def test_a_process_that_fails_is_an_error_in_its_own_words(parameters, monkeypatch, capfd) -> None:
    monkeypatch.setattr(throughput, "WORKER", "tests.no_such_worker")
    with pytest.raises(UserError, match="cpu: measuring process 1 ended with status 1"):
        throughput.run(CPU, parameters)
    assert "No module named tests.no_such_worker" in capfd.readouterr().err
    assert not Results("cpu").throughput.exists()


def test_a_killed_process_is_one_that_wanted_memory(parameters, monkeypatch) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    execute = throughput._execute
    monkeypatch.setattr(
        throughput, "_execute", lambda command, task: execute([sys.executable, "-c", kill], "")
    )
    assert throughput.sample(CPU, parameters, 0)["status"] == "out of memory"
    assert execute([sys.executable, "-c", kill], "") == -signal.SIGKILL


def blocks(seconds: float) -> dict[str, Any]:
    """What a process finds whose trainer needs `seconds` for each of its steps."""
    block = {"seconds": seconds, "compilations": 0}
    return {
        "status": "ok",
        "steps": {"trainer": 1, "trainer_aa": 1},
        "rounds": [{"trainer": block, "trainer_aa": block}] * 2,
        "step_seconds": [seconds] * 4,
        "cores": {}, "waited_seconds": {},
        "warmup": {"trainer": {"steps": 3, "steady": True}},
        "first_step_seconds": 1.0, "compile_seconds": 0.0,
        "memory": {"host_bytes": 10, "device_bytes": "unavailable: x"},
        "peak": {"flops_per_second": 1e12, "of": "a product"},
        "overhead": {"seconds_per_step": 0.0, "seconds_per_epoch": 0.0},
        "energy": {"joules": 80.0},
    }  # fmt: skip


@pytest.fixture
def planned(monkeypatch) -> list[tuple[int, int, str]]:
    """Runs no process: a step of n images takes n / 10 s, and more than 8 do not fit."""
    asked: list[tuple[int, int, str]] = []

    def sample(accelerator: Any, parameters: Any, number: int) -> dict[str, Any]:
        size = parameters.data.batch_size
        asked.append((number, size, parameters.train.precision))
        if size > 8:
            return {"status": "out of memory", "reason": "can't allocate memory"}
        return blocks(size / 10)

    monkeypatch.setattr(throughput, "sample", sample)
    return asked


def test_a_sweep_is_measured_in_turn_and_records_what_does_not_work(
    change, workspace, planned
) -> None:
    sweep = {"batch_size": [2, 12, 99], "precision": ["32-true", "16-mixed"]}
    throughput.run(CPU, change(throughput={"sweep": sweep}))
    result = read_json(Results("cpu").throughput)
    points = {(p["batch_size"], p["precision"]): p for p in result["sweep"]}
    assert points[2, "32-true"]["images_per_second"]["estimate"] == pytest.approx(10)
    assert points[12, "32-true"]["status"] == "out of memory"
    assert points[12, "32-true"]["reason"] == "can't allocate memory"
    assert points[99, "32-true"]["status"] == "unavailable"
    assert "more than the 15 images" in points[99, "32-true"]["reason"]
    assert points[2, "16-mixed"]["status"] == "unavailable"
    assert "there is no 16-mixed on cpu" in points[2, "16-mixed"]["reason"]
    own, fits, lacks = (0, 4, "32-true"), (0, 2, "32-true"), (0, 12, "32-true")
    # What did not fit is not tried again; what does fit is, in the next round of processes.
    assert planned == [own, fits, lacks, (1, 4, "32-true"), (1, 2, "32-true")]


def test_a_point_that_fails_loses_nothing(change, workspace, planned, monkeypatch) -> None:
    measured = throughput.sample

    def sample(accelerator: Any, parameters: Any, number: int) -> dict[str, Any]:
        if parameters.model.compile:
            raise UserError("No compiler.", "Install one.")
        return measured(accelerator, parameters, number)

    monkeypatch.setattr(throughput, "sample", sample)
    throughput.run(CPU, change(throughput={"sweep": {"compile": [True, False]}}))
    failed, other = read_json(Results("cpu").throughput)["sweep"]
    assert failed == {"compile": True, "status": "failed", "reason": "No compiler. Install one."}
    assert other["status"] == "ok"
    assert len(other["samples"]) == 2


def test_a_sweep_that_contradicts_the_rest_is_refused(change, workspace) -> None:
    sweep = {"sweep": {"compile": [True]}}
    with pytest.raises(UserError, match=r"throughput.sweep at .*is of no use with freeze_backbone"):
        throughput.run(CPU, change(throughput=sweep, model={"freeze_backbone": True}))


def test_a_warm_up_that_was_not_level_is_named(change, workspace, monkeypatch) -> None:
    found = [Sample(blocks(1.0), 1), Sample(blocks(1.0), 1)]
    assert throughput._unsteady(found) == []
    found[1].found["warmup"]["trainer"]["steady"] = False
    assert throughput._unsteady(found) == ["trainer"]


def test_too_little_memory_is_one_clear_message(change, workspace, planned) -> None:
    with pytest.raises(UserError, match=r"out of memory with data.batch_size = 12 .*Lower it"):
        throughput.run(CPU, change(data={"batch_size": 12}))


def test_joules_and_cost_are_those_of_an_image(change, workspace, planned) -> None:
    throughput.run(CPU, change(throughput={"price_per_hour": {"cpu": 36.0}}))
    efficiency = read_json(Results("cpu").throughput)["efficiency"]
    assert efficiency["energy"]["joules_per_image"]["estimate"] == pytest.approx(80 / (2 * 2 * 4))
    assert efficiency["cost_per_million_images"]["estimate"] == pytest.approx(0.01 * 1e6 / 10)
    assert efficiency["peak_memory"] == {"host_bytes": 10, "device_bytes": "unavailable: x"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"batch_size": 16}}, "data.batch_size = 16 is more than the 15 images"),
        ({"train": {"precision": "16-mixed"}}, "there is no 16-mixed on cpu"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, workspace, changes, message) -> None:
    with pytest.raises(UserError, match=message):
        throughput.run(CPU, change(**changes))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "stable"),
        ({"others": 0.3}, "unstable: other work took 30% of the processors, end it and repeat"),
        (
            {"moving": ["loop", "trainer"]},
            "unstable: the warm-up of loop and trainer ended before step times were level, "
            "raise throughput.warmup_steps",
        ),
        (
            {"rate": Interval(50.0, 45.0, 51.0)},
            "unstable: the interval of the rate is 12% of the median wide, raise "
            "throughput.rounds or throughput.repeats, or find out what disturbs the machine",
        ),
        (
            {"ratios": {"trainer_over_loop": Interval(1.0, 0.9, 1.1)}},
            "unstable: the interval of trainer_over_loop is 20% of the median wide, raise "
            "throughput.rounds or throughput.repeats, or find out what disturbs the machine",
        ),
        ({"ratios": {"input_over_baseline_input": Interval(65.0, 60.0, 70.0)}}, "stable"),
        ({"floor": Interval(1.02, 1.005, 1.03)}, "stable"),
        (
            {"floor": Interval(1.05, 1.02, 1.08)},
            "unstable: the trainer against itself came to 1.020 to 1.080, raise throughput.rounds",
        ),
    ],
)
def test_a_result_judges_itself(changes: dict[str, Any], verdict: str) -> None:
    facts = {"rate": STABLE, "ratios": {}, "floor": EVEN, "moving": [], "others": 0.01}
    assert throughput.judge(**facts | changes) == verdict


def test_memory_of_the_device_is_the_most_of_all_processes() -> None:
    found = [
        Sample({"memory": {"host_bytes": host, "device_bytes": device}}, 1)
        for host, device in ((3, 30), (5, 20))
    ]
    assert throughput._memory(found) == {"host_bytes": 5, "device_bytes": 30}

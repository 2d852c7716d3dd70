from typing import Any

import pytest

from benchmark.common.errors import UserError
from benchmark.common.results import Results, read_result
from benchmark.machine.accelerators import find
from benchmark.throughput import launch, throughput
from benchmark.throughput.schema import (
    THROUGHPUT,
    Block,
    EnergyReading,
    Measurement,
    Memory,
    NotMeasured,
    Throughput,
)
from tests import REPOSITORY
from tests.made_results import measurement

CPU = find("cpu")


@pytest.fixture(autouse=True)
def quiet(monkeypatch) -> None:
    monkeypatch.setattr(throughput, "warn_if_busy", lambda: None)


@pytest.fixture
def small_process(monkeypatch) -> None:
    """Measuring processes with the small network."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(launch, "PROCESS_MODULE", "tests.throughput.small_process")


def measured(parameters: Any) -> Throughput:
    """The stage's result."""
    throughput.run(CPU, parameters)
    written = read_result(Results("cpu").throughput, THROUGHPUT)
    assert isinstance(written, Throughput)
    return written


@pytest.mark.slow
@pytest.mark.usefixtures("small_process")
def test_the_result_holds_rates_ratios_and_what_they_rest_on(change, workspace, capsys) -> None:
    result = measured(change(throughput={"price_per_hour": {"cpu": 3.6}}))
    assert result.modes.keys() == {
        "trainer", "compute", "loop", "input", "baseline", "baseline_input",
    }  # fmt: skip
    assert result.ratios.keys() == {
        "trainer_over_loop", "trainer_over_compute", "trainer_over_baseline",
        "input_over_baseline_input",
    }  # fmt: skip
    intervals = [mode.images_per_second for mode in result.modes.values()]
    for found in (*intervals, *result.ratios.values(), result.noise_floor):
        assert 0 < found.low <= found.estimate <= found.high
    assert result.verdict.stable == (result.verdict.reason is None)
    assert result.workload.batch_size == 4
    assert result.workload.network == "resnet50"
    assert result.workload.weights == "random"
    assert len(result.processes) == 2
    assert result.sweep == ()
    efficiency = result.efficiency
    rate = result.modes["trainer"].images_per_second.estimate
    flops = rate * efficiency.flops_per_image
    assert efficiency.flops_per_second.estimate == pytest.approx(flops)
    assert efficiency.utilisation.estimate > 0
    assert efficiency.cost_per_million_images.low > 0
    assert efficiency.data_wait_share.keys() == {"loop", "baseline"}
    assert "cpu process 2: " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("small_process")
def test_a_process_that_fails_is_an_error_in_its_own_words(parameters, monkeypatch, capfd) -> None:
    monkeypatch.setattr(launch, "PROCESS_MODULE", "tests.no_such_process")
    with pytest.raises(UserError, match="cpu: measuring process 1 ended with status 1"):
        throughput.run(CPU, parameters)
    assert "No module named tests.no_such_process" in capfd.readouterr().err
    assert not Results("cpu").throughput.exists()


@pytest.fixture
def planned(monkeypatch) -> list[tuple[int, int, str]]:
    """Runs no process: a step of n images takes n / 10 s, and more than 8 do not fit."""
    asked: list[tuple[int, int, str]] = []

    def measure(accelerator: Any, parameters: Any, number: int) -> Measurement | NotMeasured:
        size = parameters.data.batch_size
        asked.append((number, size, parameters.train.precision))
        if size > 8:
            return NotMeasured(status="out of memory", reason="can't allocate memory")
        block = Block(seconds=size / 10, compilations=0)
        facts = {"energy": EnergyReading(joules=80.0), "memory": MEMORY}
        return measurement({"trainer": [block, block]}, **facts)

    monkeypatch.setattr(launch, "measure", measure)
    return asked


MEMORY = Memory(host_bytes=10, device_reason="x")


def test_a_sweep_is_measured_in_turn_and_records_what_does_not_work(
    change, workspace, planned
) -> None:
    sweep = {"batch_size": [1, 2, 12, 99], "precision": ["32-true", "16-mixed"]}
    result = measured(change(throughput={"sweep": sweep}))
    points = {(p.changes["batch_size"], p.changes["precision"]): p for p in result.sweep}
    assert points[2, "32-true"].images_per_second.estimate == pytest.approx(10)
    assert points[12, "32-true"].status == "out of memory"
    assert points[12, "32-true"].reason == "can't allocate memory"
    assert points[99, "32-true"].status == "unavailable"
    assert "more than the 15 images" in points[99, "32-true"].reason
    assert points[1, "32-true"].status == "unavailable"
    assert "batch norm cannot train on one image" in points[1, "32-true"].reason
    assert points[2, "16-mixed"].status == "unavailable"
    assert "there is no 16-mixed on cpu" in points[2, "16-mixed"].reason
    own, fits, lacks = (0, 4, "32-true"), (0, 2, "32-true"), (0, 12, "32-true")
    # What did not fit is not tried again; what does fit is, in the next round of processes.
    assert planned == [own, fits, lacks, (1, 4, "32-true"), (1, 2, "32-true")]


def test_a_point_that_fails_loses_nothing(change, workspace, planned, monkeypatch) -> None:
    plain = launch.measure

    def measure(accelerator: Any, parameters: Any, number: int) -> Measurement | NotMeasured:
        if parameters.model.compile:
            raise UserError("No compiler.", "Install one.")
        return plain(accelerator, parameters, number)

    monkeypatch.setattr(launch, "measure", measure)
    failed, other = measured(change(throughput={"sweep": {"compile": [True, False]}})).sweep
    assert failed.changes == {"compile": True}
    assert (failed.status, failed.reason) == ("failed", "No compiler. Install one.")
    assert other.status == "ok"
    assert len(other.processes) == 2


def test_a_sweep_that_contradicts_the_rest_is_refused(change, workspace) -> None:
    sweep = {"sweep": {"compile": [True]}}
    with pytest.raises(UserError, match=r"throughput.sweep at .*is of no use with freeze_backbone"):
        throughput.run(CPU, change(throughput=sweep, model={"freeze_backbone": True}))


def test_too_little_memory_is_one_clear_message(change, workspace, planned) -> None:
    with pytest.raises(UserError, match=r"out of memory with data.batch_size = 12 .*Lower it"):
        throughput.run(CPU, change(data={"batch_size": 12}))


def test_a_refusal_is_passed_on(change, workspace, monkeypatch) -> None:
    refused = NotMeasured(status="refused", reason="No. Do.")
    monkeypatch.setattr(launch, "measure", lambda *_: refused)
    with pytest.raises(UserError, match=r"cpu: No\. Do\."):
        throughput.run(CPU, change())


def test_joules_and_cost_are_those_of_an_image(change, workspace, planned) -> None:
    found = measured(change(throughput={"price_per_hour": {"cpu": 36.0}})).efficiency
    assert found.energy.joules_per_image.estimate == pytest.approx(80 / (2 * 2 * 4))
    assert found.cost_per_million_images.estimate == pytest.approx(0.01 * 1e6 / 10)
    assert found.peak_memory == MEMORY


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

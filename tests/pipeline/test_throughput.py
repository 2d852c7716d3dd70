from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmark.common.results import ResultPaths, read_result
from benchmark.common.statistics import Interval
from benchmark.errors.user_error import UserError
from benchmark.interleave import training_process
from benchmark.machine.accelerators import find
from benchmark.machine.schema import Memory
from benchmark.pipeline import throughput
from benchmark.report.wording import process_settings
from benchmark.throughput import peer_speed, run_process
from benchmark.throughput.peer_speed import PeerSpeed
from benchmark.throughput.schema import (
    THROUGHPUT,
    Block,
    EnergyReading,
    Measurement,
    NotMeasured,
    Peak,
    PeerStatus,
    ProcessIndex,
    Throughput,
)
from tests import REPOSITORY
from tests.support.made_results import measurement, profile

CPU = find("cpu")


@pytest.fixture(autouse=True)
def quiet(monkeypatch) -> None:
    monkeypatch.setattr(throughput, "warn_if_busy", lambda: None)


@pytest.fixture
def small_process(monkeypatch, forked_processes) -> None:
    """Measuring processes with the small network."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(run_process, "PROCESS_MODULE", "tests.support.small_process")


def measured(parameters: Any) -> Throughput:
    """The stage's result."""
    throughput.run(CPU, parameters)
    written = read_result(ResultPaths("cpu").throughput, THROUGHPUT)
    assert isinstance(written, Throughput)
    return written


@pytest.mark.slow
@pytest.mark.usefixtures("small_process")
def test_the_result_holds_rates_ratios_and_what_they_rest_on(change, workspace, capsys) -> None:
    result = measured(change())
    assert result.modes.keys() == {
        "trainer", "compute", "loop", "input", "baseline", "baseline_input", "nondeterministic",
    }  # fmt: skip
    assert result.ratios.keys() == {
        "trainer_over_loop", "trainer_over_compute", "trainer_over_baseline",
        "input_over_baseline_input", "compute_over_nondeterministic",
    }  # fmt: skip
    intervals = [mode.images_per_second for mode in result.modes.values()]
    for rate in (*intervals, *result.ratios.values(), result.noise_floor):
        assert 0 < rate.low <= rate.estimate <= rate.high
    assert result.verdict.stable == (result.verdict.reason is None)
    assert result.interval_width.seconds > 0
    assert result.workload.batch_size == 4
    assert result.workload.deterministic
    assert result.workload.network == "resnet50"
    assert result.workload.weights == "random"
    assert len(result.processes) >= 2
    assert result.sweep == ()
    assert sum(part.estimate for _, part in result.trainer.step_shares) == pytest.approx(1)
    assert result.trainer.undisturbed_images_per_second.estimate > 0
    assert result.trainer.overhead.seconds_per_step > 0
    efficiency = result.efficiency
    rate = result.modes["trainer"].images_per_second.estimate
    flops = rate * efficiency.flops_per_image
    assert efficiency.flops_per_second.estimate == pytest.approx(flops)
    assert efficiency.utilisation.estimate > 0
    assert efficiency.decoding.estimate > 0
    assert "cpu process 2: " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("small_process")
def test_a_process_that_fails_is_an_error_in_its_own_words(parameters, monkeypatch, capfd) -> None:
    monkeypatch.setattr(run_process, "PROCESS_MODULE", "tests.no_such_process")
    with pytest.raises(UserError, match="cpu: measuring process 1 ended with status 1"):
        throughput.run(CPU, parameters)
    assert "No module named tests.no_such_process" in capfd.readouterr().err
    assert not ResultPaths("cpu").throughput.exists()


@dataclass
class Planned:
    """Processes that are not run: a step of n images takes n / 10 s, and more than 8 do not fit."""

    indices: list[ProcessIndex] = field(default_factory=list)
    slowdown: float = 1.0
    """Factor by which every second process is slower."""


@pytest.fixture
def planned(monkeypatch) -> Planned:
    plan = Planned()

    def measure(
        accelerator: Any, parameters: Any, index: ProcessIndex
    ) -> Measurement | NotMeasured:
        size = parameters.data.batch_size
        plan.indices.append(index)
        if size > 8:
            return NotMeasured(status="out of memory", reason="can't allocate memory")
        factor = plan.slowdown if index.number % 2 else 1.0
        block = Block(seconds=size / 10 * factor, compilations=0)
        energy = EnergyReading(joules=80.0, steps=5)
        capped = {"capped_workers": 3 if index.number else None}
        return measurement({"trainer": [block, block]}, energy=energy, memory=MEMORY, **capped)

    monkeypatch.setattr(run_process, "measure", measure)
    monkeypatch.setattr(run_process, "profile", lambda *_: profile())
    return plan


MEMORY = Memory(host_bytes=10, device_reason="x")


def test_too_few_open_files_are_reported(change, workspace, planned) -> None:
    """The second process had room for three workers only."""
    runtime = measured(change()).runtime
    assert runtime.capped_workers == 3
    assert "ImageFolder with 3 workers, as open files were limited" in process_settings("", runtime)


def test_processes_have_one_run_and_places_of_their_own(change, workspace, planned) -> None:
    result = measured(change())
    assert planned.indices == [ProcessIndex(result.seed, 0), ProcessIndex(result.seed, 1)]
    measured(change())
    assert planned.indices[2].seed != result.seed


@pytest.mark.parametrize(
    ("changes", "processes", "met"),
    [
        ({"width": 0.5, "budget_seconds": 60}, 3, True),
        ({"width": 0.01, "budget_seconds": 0}, 3, False),
        ({"width": 0.1, "budget_seconds": 60}, 7, True),
    ],
)
def test_it_goes_on_until_it_is_precise_or_out_of_time(
    change, workspace, planned, changes, processes, met
) -> None:
    """Every other process is 10 % slower: 3 give an interval of 27 % width, 6 of 11, 7 of 9."""
    planned.slowdown = 1.1
    result = measured(change(throughput={"repeats": 3, **changes}))
    assert len(result.processes) == processes
    assert (result.interval_width.met, result.interval_width.widest) == (met, "trainer")
    assert result.interval_width.target == changes["width"]


def test_what_is_measured_besides_voids_nothing(change, workspace, planned, monkeypatch) -> None:
    """A profile's process that ends at once leaves its reason."""
    monkeypatch.setattr(run_process, "profile", PROFILE)
    monkeypatch.setattr(run_process, "PROCESS_MODULE", "tests.no_such_process")
    result = measured(change())
    assert result.modes["trainer"].images_per_second.estimate == pytest.approx(10)
    assert result.efficiency.peak.reason == "cpu: the profile's process ended with status 1."
    assert result.efficiency.decoding == result.efficiency.peak == result.trainer.overhead
    assert result.efficiency.utilisation is None


def test_use_is_of_what_was_measured_and_of_what_the_vendor_promises(
    change, workspace, planned, monkeypatch
) -> None:
    peak = Peak(flops_per_second=1e12, of="a product", vendor_flops_per_second=4e12)
    monkeypatch.setattr(run_process, "profile", lambda *_: profile(peak=peak))
    efficiency = measured(change()).efficiency
    expected = 10 * efficiency.flops_per_image / 1e12
    assert efficiency.utilisation.estimate == pytest.approx(expected)
    assert efficiency.vendor_utilisation.estimate == pytest.approx(expected / 4)


def test_peers_are_modes_with_a_ratio_or_a_reason(change, workspace, planned, monkeypatch) -> None:
    speeds = {
        "timm": PeerSpeed(
            PeerStatus(versions={"timm": "1"}), Interval(9.0, 8.9, 9.1), Interval(1.2, 1.1, 1.3)
        ),
        "fastai": PeerSpeed(PeerStatus(reason="it is not installed")),
    }
    monkeypatch.setattr(peer_speed, "measure", lambda *arguments: speeds[arguments[2]])
    result = measured(change(throughput={"modes": ["trainer", *speeds]}))
    assert result.peers == {name: speed.status for name, speed in speeds.items()}
    assert result.modes.keys() == {"trainer", "timm"}
    assert result.modes["timm"].images_per_second == speeds["timm"].rate
    assert result.ratios == {"trainer_over_timm": speeds["timm"].ratio}


def test_the_rate_at_best_is_the_runs_times_the_ratio(
    change, workspace, planned, monkeypatch
) -> None:
    monkeypatch.setattr(training_process, "WORKER", REPOSITORY / "tests/support/made_up_gpu.py")
    monkeypatch.setenv("LAUNCHES", "0.064")
    result = measured(change(throughput={"curve_seconds": 1e6}))
    assert result.images_per_second.estimate == pytest.approx(10)
    assert result.best_batch_size == 1024
    assert result.best_images_per_second.estimate == pytest.approx(160)
    assert len(result.curve.points) == 9


PROFILE = run_process.profile


def test_too_little_memory_is_one_clear_message(change, workspace, planned) -> None:
    with pytest.raises(UserError, match=r"out of memory with data.batch_size = 12 .*Lower it"):
        throughput.run(CPU, change(data={"batch_size": 12}))


def test_a_refusal_is_passed_on(change, workspace, monkeypatch) -> None:
    refused = NotMeasured(status="refused", reason="No. Do.")
    monkeypatch.setattr(run_process, "measure", lambda *_: refused)
    with pytest.raises(UserError, match=r"cpu: No\. Do\."):
        throughput.run(CPU, change())


def test_joules_are_those_of_an_image(change, workspace, planned) -> None:
    efficiency = measured(change()).efficiency
    assert efficiency.energy.joules_per_image.estimate == pytest.approx(80 / (5 * 4))
    assert efficiency.peak_memory == MEMORY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"batch_size": 16}}, "data.batch_size = 16: there are 15 training images"),
        ({"train": {"precision": "16-mixed"}}, "there is no 16-mixed on cpu"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, workspace, changes, message) -> None:
    with pytest.raises(UserError, match=message):
        throughput.run(CPU, change(**changes))

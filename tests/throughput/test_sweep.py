"""A sweep of made-up processes (`made_up_worker.py`), and of real ones."""

from typing import Any

import psutil
import pytest

from benchmark.errors.user_error import UserError
from benchmark.interleave import pair, training_process
from benchmark.machine.accelerators import find
from benchmark.throughput import run_process, sweep
from benchmark.throughput.schema import NotMeasured
from benchmark.throughput.sweep import points
from benchmark.timing.schema import Block
from tests import REPOSITORY
from tests.support.forked_python import forked
from tests.support.made_results import measurement

CPU = find("cpu")
WORKER = REPOSITORY / "tests/support/small_worker.py"
MADE_UP = REPOSITORY / "tests/support/made_up_worker.py"


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_process, "WORKER", MADE_UP)


def swept(parameters: Any) -> list[Any]:
    return [sweep.measure(CPU, parameters, point, seed=7) for point in points(parameters)]


def test_without_a_sweep_there_are_no_points(change) -> None:
    assert points(change()) == []


def test_every_combination_is_a_point_for_the_trainer_alone(change) -> None:
    sweep = {"batch_size": [2, 4], "precision": ["32-true", "bf16-mixed"], "compile": []}
    combinations = points(change(throughput={"sweep": sweep}))
    assert [point.changes for point in combinations] == [
        {"batch_size": 2, "precision": "32-true"}, {"batch_size": 2, "precision": "bf16-mixed"},
        {"batch_size": 4, "precision": "32-true"}, {"batch_size": 4, "precision": "bf16-mixed"},
    ]  # fmt: skip
    last = combinations[-1].parameters
    assert (last.data.batch_size, last.train.precision) == (4, "bf16-mixed")
    assert last.throughput.modes == ("trainer",)
    assert points(last) == []


def test_each_value_reaches_its_section(change) -> None:
    sweep = {
        "channels_last": [True], "compile": ["default"], "num_workers": [3], "batch_size": [8],
        "deterministic": [False],
    }  # fmt: skip
    (point,) = points(change(throughput={"sweep": sweep}))
    model, data = point.parameters.model, point.parameters.data
    assert (model.channels_last, model.compile) == (True, "default")
    assert (data.num_workers, data.batch_size) == (3, 8)
    assert not point.parameters.throughput.deterministic


@pytest.mark.usefixtures("made_up")
def test_a_point_takes_turns_with_the_runs_own(change, workspace) -> None:
    """The machine gets faster from block to block, for both alike."""
    (point,) = swept(change(throughput={"sweep": {"batch_size": [2]}}))
    assert point.status == "ok"
    assert point.ratio.estimate == pytest.approx(1)
    assert point.ratio.relative_width == pytest.approx(0, abs=1e-6)
    assert 10 < point.images_per_second.estimate < 11


@pytest.mark.usefixtures("made_up")
def test_what_does_not_work_is_a_result_and_no_other_points_loss(change, workspace) -> None:
    sizes = {"batch_size": [1, 2, 99], "precision": ["32-true", "16-mixed"]}
    results = swept(change(throughput={"sweep": sizes}))
    points = {(p.changes["batch_size"], p.changes["precision"]): p for p in results}
    assert points[2, "32-true"].status == "ok"
    reasons = {
        (99, "32-true"): "there are 15 training images",
        (1, "32-true"): "batch norm cannot train on one image",
        (2, "16-mixed"): "there is no 16-mixed on cpu",
    }
    for key, reason in reasons.items():
        assert points[key].status == "unavailable"
        assert reason in points[key].reason
    failed, compiling = swept(change(throughput={"sweep": {"compile": ["default"]}})) + swept(
        change(throughput={"sweep": {"num_workers": [3]}})
    )
    assert failed.status == "failed"
    assert failed.reason == "{'compile': 'default'} cannot be measured: No compiler. Install one."
    assert compiling.status == "failed"
    assert "A graph was compiled in each block." in compiling.reason


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("fits", [True, False])
def test_what_does_not_fit_beside_the_other_is_measured_alone(
    change, workspace, monkeypatch, fits: bool
) -> None:
    lacking = NotMeasured(status="out of memory", reason="not alone either")
    alone = measurement({"trainer": [Block(seconds=0.5, compilations=0)]})
    monkeypatch.setattr(run_process, "measure", lambda *_: alone if fits else lacking)
    (point,) = swept(change(throughput={"sweep": {"batch_size": [12]}}))
    assert point.ratio is None
    if fits:
        assert (point.status, point.images_per_second.estimate) == ("ok", pytest.approx(24))
        assert point.reason.startswith(
            "measured alone, so without a ratio: {'batch_size': 12}: out"
        )
    else:
        assert (point.status, point.reason) == ("out of memory", "not alone either")


@pytest.mark.usefixtures("made_up")
def test_what_compiles_in_each_block_alone_is_a_result_too(change, workspace, monkeypatch) -> None:
    compiling = measurement({"trainer": [Block(seconds=0.5, compilations=1)]})
    monkeypatch.setattr(run_process, "measure", lambda *_: compiling)
    (point,) = swept(change(throughput={"sweep": {"batch_size": [12]}}))
    assert point.status == "failed"
    assert "compiled" in point.reason


@pytest.mark.usefixtures("made_up")
def test_the_rate_of_several_devices_is_that_of_all_together(change, workspace) -> None:
    """The run's own is of one, however many train."""
    parameters = change(throughput={"sweep": {"devices": [1, 2]}}, trainer={"devices": 3})
    alone, together = swept(parameters)
    assert alone.ratio.estimate == pytest.approx(1.0)
    assert together.ratio.estimate == pytest.approx(2 / 1.25)
    assert together.images_per_second.estimate == pytest.approx(2 / 1.25 * 10, rel=0.2)


@pytest.mark.usefixtures("made_up")
def test_what_several_devices_lack_is_a_result(change, workspace) -> None:
    """There are 15 images. What does not fit on three devices is not measured on one instead."""
    lacking, large = swept(change(throughput={"sweep": {"devices": [4, 3]}}))
    assert lacking.status == "unavailable"
    assert (
        "data.batch_size = 4 on each of 4 devices: there are 15 training images" in lacking.reason
    )
    assert (large.status, large.images_per_second) == ("out of memory", None)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_a_real_point_of_two_devices(change, workspace, monkeypatch, capfd) -> None:
    """Nothing of it is left when it has been measured."""
    monkeypatch.setattr(training_process, "WORKER", WORKER)
    monkeypatch.setattr(pair, "BLOCKS", 2)
    (point,) = swept(change(throughput={"sweep": {"devices": [2]}}))
    assert point.status == "ok", point.reason + capfd.readouterr().err
    assert 0 < point.ratio.low < point.ratio.estimate
    assert psutil.wait_procs(forked(), timeout=60)[1] == []


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_a_real_point(change, workspace, monkeypatch, capsys) -> None:
    monkeypatch.setattr(training_process, "WORKER", WORKER)
    monkeypatch.setattr(pair, "BLOCKS", 2)
    (point,) = swept(change(throughput={"sweep": {"batch_size": [2]}}))
    assert point.status == "ok"
    assert 0 < point.ratio.low < point.ratio.estimate
    assert "cpu {'batch_size': 2}: " in capsys.readouterr().out


def test_a_sweep_that_contradicts_the_rest_is_refused(change, workspace) -> None:
    sweep = {"sweep": {"compile": ["default"]}}
    with pytest.raises(
        UserError, match=r"throughput.sweep at .*has no effect with freeze_backbone"
    ):
        points(change(throughput=sweep, model={"freeze_backbone": True}))

import types

import pytest

from benchmark.training import history
from benchmark.training.history import EpochTimer, FirstStepsDigest


def test_the_clock_is_read_when_the_device_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def clock() -> float:
        events.append("clock")
        return 0.0

    monkeypatch.setattr(history, "synchronise", events.append)
    monkeypatch.setattr(history, "time", types.SimpleNamespace(perf_counter=clock))
    epoch_timer = EpochTimer("gpu", FirstStepsDigest("gpu"))
    epoch_timer.on_train_epoch_start(None, None)
    epoch_timer.on_train_epoch_end(None, None)
    assert events == ["gpu", "clock"] * 2


def test_an_epoch_lasts_until_its_checkpoints_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs have 5 s and 2 s of checkpoints; a checkpoint contains only the time before it."""
    now = iter([0.0, 5.0, 7.0, 7.0, 12.0, 14.0])
    monkeypatch.setattr(history, "time", types.SimpleNamespace(perf_counter=lambda: next(now)))
    timer = EpochTimer("cpu", FirstStepsDigest("cpu"))
    timer.on_train_epoch_start(None, None)
    timer.on_train_epoch_end(None, None)
    assert timer.state_dict() == {"seconds": [5.0]}
    timer.on_train_epoch_start(None, None)
    assert timer.seconds == [7.0]
    timer.on_train_epoch_end(None, None)
    timer.on_train_end(None, None)
    assert timer.seconds == [7.0, 7.0]


def test_an_epochs_time_excludes_the_digests_of_the_first_steps(monkeypatch) -> None:
    """The digests took 2 s of 5 s."""
    now, digests = iter([0.0, 5.0]), FirstStepsDigest("cpu")
    monkeypatch.setattr(history, "time", types.SimpleNamespace(perf_counter=lambda: next(now)))
    timer = EpochTimer("cpu", digests)
    timer.on_train_epoch_start(None, None)
    digests.seconds += 2.0
    timer.on_train_epoch_end(None, None)
    assert timer.seconds == [3.0]


def test_a_resumed_timer_keeps_the_times_of_the_checkpoint() -> None:
    timer = EpochTimer("cpu", FirstStepsDigest("cpu"))
    timer.load_state_dict({"seconds": [3.0]})
    timer.on_train_epoch_start(None, None)
    timer.on_train_epoch_end(None, None)
    timer.on_train_end(None, None)
    assert timer.seconds[0] == 3.0
    assert len(timer.seconds) == 2
    stopped = EpochTimer("cpu", FirstStepsDigest("cpu"))
    stopped.load_state_dict({"seconds": [3.0]})
    stopped.on_train_end(None, None)
    assert stopped.seconds == [3.0]

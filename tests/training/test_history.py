import types

import pytest

from benchmark.training import history
from benchmark.training.history import EpochTimer


def test_the_clock_is_read_when_the_device_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def clock() -> float:
        events.append("clock")
        return 0.0

    monkeypatch.setattr(history, "synchronise", events.append)
    monkeypatch.setattr(history, "time", types.SimpleNamespace(perf_counter=clock))
    epoch_timer = EpochTimer("gpu")
    epoch_timer.on_train_epoch_start(None, None)
    epoch_timer.on_train_epoch_end(None, None)
    assert events == ["gpu", "clock"] * 2

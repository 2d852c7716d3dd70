import types

import pytest

from benchmark import recorder
from benchmark.recorder import Stopwatch


def test_the_clock_is_read_when_the_device_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def clock() -> float:
        events.append("clock")
        return 0.0

    monkeypatch.setattr(recorder, "synchronise", events.append)
    monkeypatch.setattr(recorder, "time", types.SimpleNamespace(perf_counter=clock))
    stopwatch = Stopwatch("gpu")
    stopwatch.on_train_epoch_start(None, None)
    stopwatch.on_train_epoch_end(None, None)
    assert events == ["gpu", "clock"] * 2

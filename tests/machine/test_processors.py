import os
from collections.abc import Iterator

import psutil
import pytest

from benchmark.machine import processors
from benchmark.machine.processors import OtherLoad


@pytest.fixture
def clock(monkeypatch) -> Iterator[list[tuple[float, float, float]]]:
    """Readings of (busy, own, all) processor seconds, handed out in turn."""
    readings: list[tuple[float, float, float]] = []
    monkeypatch.setattr(processors, "_clock", lambda: readings.pop(0))
    yield readings
    assert readings == []


def test_other_work_is_told_from_our_own(clock) -> None:
    clock += [(100.0, 10.0, 1000.0), (108.0, 15.0, 1020.0)]
    with OtherLoad() as load:
        pass
    assert load.share == pytest.approx((8 - 5) / 20)


def test_other_work_is_never_less_than_nothing(clock) -> None:
    clock += [(100.0, 10.0, 1000.0), (101.0, 15.0, 1020.0)]
    with OtherLoad() as load:
        pass
    assert load.share == 0


def test_the_clock_counts_us_and_the_machine() -> None:
    busy, own, total = processors._clock()
    assert 0 < own <= busy <= total
    assert total >= sum(os.times()[:2])


@pytest.mark.parametrize(("busy", "warned"), [(0.5, True), (0.05, False)])
def test_other_work_is_warned_of(clock, capsys, monkeypatch, busy: float, warned: bool) -> None:
    clock += [(0.0, 0.0, 0.0), (busy, 0.0, 1.0)]
    monkeypatch.setattr(psutil, "cpu_percent", lambda seconds: None)
    processors.warn_if_busy()
    assert ("warning: other work takes 50%" in capsys.readouterr().err) == warned

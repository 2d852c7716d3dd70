import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmark.machine import lock


def hold(lock: Path, ready: Any, done: Any) -> None:
    lock.LOCK = lock
    with measuring_lock():
        ready.set()
        done.wait(60)


def test_a_second_measurement_waits_for_the_first(capsys, monkeypatch) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(lock.LOCK, ready, done))
    other.start()
    assert ready.wait(60)
    say = print

    def released(*words: Any, **options: Any) -> None:
        say(*words, **options)
        done.set()

    monkeypatch.setattr("builtins.print", released)
    with measuring_lock():
        assert done.is_set()
        assert "Another measurement is running on this machine" in capsys.readouterr().out
    other.join(60)
    assert other.exitcode == 0


def test_the_lock_is_given_back(capsys) -> None:
    for _ in range(2):
        with measuring_lock():
            pass
    assert capsys.readouterr().out == ""


@pytest.fixture
def clock(monkeypatch) -> Iterator[list[tuple[float, float, float]]]:
    """Readings of (busy, own, all) processor seconds, handed out in turn."""
    readings: list[tuple[float, float, float]] = []
    monkeypatch.setattr(lock, "_clock", lambda: readings.pop(0))
    yield readings
    assert readings == []


def test_a_witness_tells_other_work_from_our_own(clock) -> None:
    clock += [(100.0, 10.0, 1000.0), (108.0, 15.0, 1020.0)]
    with OtherLoad() as witness:
        pass
    assert witness.others == pytest.approx((8 - 5) / 20)


def test_a_witness_never_sees_less_than_nothing(clock) -> None:
    clock += [(100.0, 10.0, 1000.0), (101.0, 15.0, 1020.0)]
    with OtherLoad() as witness:
        pass
    assert witness.others == 0


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

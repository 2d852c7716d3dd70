"""The time limit, alone and inside another timer."""

import signal
import time

import pytest

from lightning_conformance.time_limit import time_limit


def test_a_block_that_hangs_is_stopped_and_the_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match=r"not finished after 0\.05 s"), time_limit(0.05):
        time.sleep(60)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_outer_timer_goes_on_with_its_remaining_time() -> None:
    signal.setitimer(signal.ITIMER_REAL, 1000.0, 2000.0)
    try:
        with time_limit(60):
            inner, _ = signal.getitimer(signal.ITIMER_REAL)
        remaining, interval = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert inner <= 60
    assert 0 < remaining <= 1000
    assert interval == 2000


def test_an_outer_timer_that_ends_sooner_stays() -> None:
    before = signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 1000.0)
    try:
        with time_limit(2000):
            assert signal.getsignal(signal.SIGALRM) is before
            inner, _ = signal.getitimer(signal.ITIMER_REAL)
        outer, _ = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert 0 < outer <= inner <= 1000

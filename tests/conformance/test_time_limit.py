"""An end to what hangs."""

import signal
import time

import pytest

from datamodule_conformance.time_limit import time_limit


def test_what_hangs_is_ended_and_what_does_not_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match=r"no end after 0\.05 s"), time_limit(0.05):
        time.sleep(60)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)

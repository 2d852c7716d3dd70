"""Pairs of the Trainer and a peer: of made-up processes, and of a real Trainer and a stand-in."""

import pytest

from benchmark.interleave import training_process
from benchmark.machine.accelerators import find
from benchmark.throughput import peer_speed
from benchmark.timing import peers
from benchmark.timing.schema import PeerStatus
from tests import REPOSITORY

CPU = find("cpu")
WORKER = REPOSITORY / "tests/support/small_worker.py"
MADE_UP = REPOSITORY / "tests/support/made_up_worker.py"


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_process, "WORKER", MADE_UP)
    monkeypatch.setattr(peers, "versions", lambda name: {name: "1.0"})


@pytest.mark.usefixtures("made_up")
def test_a_peer_has_a_rate_and_the_trainers_ratio_to_it(change, workspace) -> None:
    result = peer_speed.measure(CPU, change(), "timm", seed=7)
    assert result.status == PeerStatus(versions={"timm": "1.0"})
    assert result.ratio.estimate == pytest.approx(1.25)
    assert 10 / 1.25 < result.rate.estimate < 11 / 1.25


@pytest.mark.usefixtures("made_up")
def test_a_peer_that_refuses_is_recorded_with_the_reason(change, workspace) -> None:
    parameters = change(train={"precision": "bf16-mixed"})
    result = peer_speed.measure(CPU, parameters, "fastai", seed=7)
    assert (result.rate, result.ratio, result.status.versions) == (None, None, {"fastai": "1.0"})
    reason = "fastai cannot be measured: No mixed precision. Choose another."
    assert result.status.reason == reason


def test_a_peer_that_is_not_installed_is_recorded(change, workspace, monkeypatch) -> None:
    monkeypatch.setitem(peers.PACKAGES, "timm", ("no-such-package",))
    result = peer_speed.measure(CPU, change(), "timm", seed=7)
    reason = "no-such-package is not installed. make peers installs it."
    assert result.status == PeerStatus(reason=reason)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_a_real_pair_with_a_stand_in(change, workspace, monkeypatch) -> None:
    """The stand-in does the steps of the plain ImageFolder loop."""
    monkeypatch.setattr(training_process, "WORKER", WORKER)
    monkeypatch.setattr(peers, "versions", lambda name: {name: "1.0"})
    monkeypatch.setenv("TESTS_STAND_IN_PEER", "1")
    result = peer_speed.measure(CPU, change(throughput={"repeats": 2}), "timm", seed=7)
    assert result.status.reason is None
    assert 0 < result.ratio.low <= result.ratio.estimate

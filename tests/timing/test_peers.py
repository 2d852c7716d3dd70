"""Peers: by a made one, which needs no package, and by those that are installed."""

import multiprocessing
import os
import random
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import nn

from benchmark.common.parameters import PEERS
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators, processors
from benchmark.throughput.schema import PeerStatus
from benchmark.timing import isolation, peers
from benchmark.timing.coroutine import Coroutine
from benchmark.timing.isolation import Settings, isolated, replaced, replacements
from benchmark.timing.timer import ModeTimer
from benchmark.training.fit import fine_tuner

pytestmark = pytest.mark.usefixtures("small_network")


class Made:
    """In the place of a peer's package: a loop that notes under which settings it runs."""

    def __init__(self) -> None:
        self.networks: list[nn.Module] = []
        self.settings: list[tuple[bool, bool, Any]] = []
        self.fails = False

    def fit(self, network: nn.Module, *_: Any) -> Coroutine:
        self.networks.append(network)
        torch.backends.cudnn.benchmark = True
        return (coroutine := Coroutine(lambda: self._loop(coroutine)))

    def _loop(self, coroutine: Coroutine) -> None:
        while not coroutine.over:
            coroutine.ready()
            if self.fails:
                raise RuntimeError("there is no such kernel\nat all")
            cudnn, size = torch.backends.cudnn.benchmark, Image.Image.size
            self.settings.append((torch.are_deterministic_algorithms_enabled(), cudnn, size))
            warnings.warn("of the peer's own", UserWarning, stacklevel=1)
            coroutine.stepped()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """What is measured as timm; it replaces the size of images."""
    found = Made()
    monkeypatch.setattr(peers, "_load", lambda _: (found.fit, {(Image.Image, "size"): "replaced"}))
    monkeypatch.setattr(peers, "versions", lambda _: {"timm": "1"})
    return found


@pytest.fixture
def asked(change: Callable[..., Any], workspace: Any) -> Callable[..., Any]:
    """Parameters with the Trainer and what else is named as modes."""

    def parameters(*modes: str, **sections: Any) -> Any:
        return change(throughput={"modes": ["trainer", *modes]}, **sections)

    return parameters


def test_one_that_is_not_installed_is_no_mode_but_a_reason(asked, monkeypatch) -> None:
    monkeypatch.setitem(peers.PACKAGES, "timm", ("no-such-package",))
    with ModeTimer("cpu", asked("timm")) as mode_timer:
        assert set(mode_timer.modes) == {"trainer"}
    reason = "no-such-package is not installed. make peers installs it."
    assert mode_timer.peers == {"timm": PeerStatus(reason=reason)}


def test_one_that_fails_is_left_out_before_anything_is_measured(asked, made: Made) -> None:
    made.fails = True
    with ModeTimer("cpu", asked("timm")) as mode_timer:
        assert mode_timer.names == ["trainer"]
        assert mode_timer.time("trainer", 1).seconds > 0
    expected = PeerStatus(versions={"timm": "1"}, reason="there is no such kernel")
    assert mode_timer.peers == {"timm": expected}


def test_it_runs_under_settings_of_its_own(asked, made: Made) -> None:
    size = Image.Image.size
    with ModeTimer("cpu", asked("timm")) as mode_timer:
        before = Settings.current()
        assert before.deterministic
        mode_timer.time("timm", 2)
        assert Settings.current() == before
        assert Image.Image.size is size
    assert made.settings[:3] == [(False, True, "replaced")] * 3
    assert mode_timer.peers == {"timm": PeerStatus(versions={"timm": "1"})}


def test_it_trains_a_network_of_its_own_as_it_is_by_default(asked, made: Made) -> None:
    parameters = asked("timm", model={"channels_last": True})
    with ModeTimer("cpu", parameters) as mode_timer:
        own, [others] = mode_timer.module.network, made.networks
        assert not own.layer2[0].conv1.weight.is_contiguous()
        assert others.layer2[0].conv1.weight.is_contiguous()
        same = fine_tuner(parameters, 3).network.state_dict()
        assert all(value.equal(same[name]) for name, value in others.state_dict().items())


def test_nothing_of_it_is_loaded_unless_it_is_asked_for(asked, monkeypatch) -> None:
    monkeypatch.setattr(peers, "_load", lambda name: 1 / 0)
    with ModeTimer("cpu", asked("baseline")) as mode_timer:
        assert mode_timer.peers == {}


def test_its_workers_have_batches_ready(change) -> None:
    mode_timer = ModeTimer("cpu", change(data={"num_workers": 0}))
    assert [mode_timer._prefetched(name) for name in ("loop", *PEERS)] == [
        0, *[2 * processors.cores()] * 3
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("accelerator", "changes", "words"),
    [
        ("tpu", {}, "Peers are not measured on tpu"),
        ("cpu", {"train": {"precision": "bf16-true"}}, "Peers are not measured at bf16-true"),
        ("cpu", {"model": {"freeze_backbone": True}}, "A peer trains every layer"),
    ],
)
def test_what_no_peer_does_is_refused(asked, made: Made, accelerator, changes, words) -> None:
    with pytest.raises(UserError, match=words):
        peers.start("timm", accelerator, asked("timm", **changes), 3)
    assert made.networks == []


def process() -> dict[str, Any]:
    """What other modes depend on, or might."""
    return {
        "settings": Settings.current(),
        "variables": dict(os.environ),
        "filters": list(warnings.filters),
        "numbers": (random.getstate(), str(np.random.get_state()), torch.initial_seed()),
        "start": multiprocessing.get_start_method(allow_none=True),
        "threads": torch.get_num_threads(),
        "attributes": [Image.Image.size, Image.Image.__repr__, torch.Tensor.as_subclass],
        "grad": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "xla": sys.modules.get("torch_xla"),
    }


def test_what_is_done_in_isolation_is_undone(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("KEPT", "as it was")
    before = process()
    with isolated():
        assert "RANK" not in os.environ
        assert sys.modules["torch_xla"] is None
        os.environ |= {"KEPT": "no more", "NEW": "variable"}
        torch.backends.cudnn.benchmark = True
        torch.use_deterministic_algorithms(not before["settings"].deterministic)
        multiprocessing.set_start_method("spawn", force=True)
        warnings.warn("no error here", UserWarning, stacklevel=1)
        warnings.simplefilter("error")
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(42)
    assert process() == before


def test_replaced_attributes_are_put_back_and_known(monkeypatch) -> None:
    """One that shadows an inherited one is replaced too; one that is new is in nobody's way."""

    class Base:
        inherited = "inherited"

    class Class(Base):
        own = "own"

    def load() -> str:
        Class.own = Class.inherited = Class.new = "replaced"  # type: ignore[attr-defined]
        return "loaded"

    monkeypatch.setattr(isolation, "CLASSES", (Class,))
    loaded, attributes = replacements(load)
    assert loaded == "loaded"
    assert attributes == {(Class, "own"): "replaced", (Class, "inherited"): "replaced"}
    assert (Class.own, Class.inherited, Class.new) == ("own", "inherited", "replaced")
    with replaced(attributes):
        assert (Class.own, Class.inherited) == ("replaced", "replaced")
    assert (Class.own, Class.inherited) == ("own", "inherited")
    assert "inherited" not in vars(Class)


def test_a_coroutine_goes_on_for_as_many_steps_as_it_is_told() -> None:
    steps: list[int] = []

    def fit() -> None:
        for step in range(1000):
            coroutine.ready()
            steps.append(step)
            coroutine.stepped()
            if coroutine.over:
                return

    coroutine = Coroutine(fit)
    coroutine.start()
    counts = [len(steps)]
    for count in (1, 3):
        coroutine.run(count)
        counts.append(len(steps))
    coroutine.stop()
    assert counts == [0, 1, 4]
    assert coroutine.ended
    assert len(steps) == 4


@pytest.fixture(params=[*PEERS])
def installed(request: pytest.FixtureRequest) -> str:
    """A peer that is here. It is not imported: a test does that, in isolation."""
    try:
        peers.versions(request.param)
    except UserError as error:
        pytest.skip(error.what)
    return str(request.param)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Those that peers train."""
    found: list[nn.Module] = []

    def noted(*arguments: Any) -> Any:
        found.append(fine_tuner(*arguments).network)
        return SimpleNamespace(network=found[-1])

    monkeypatch.setattr(peers, "fine_tuner", noted)
    return found


def seen(network: nn.Module) -> list[torch.Size]:
    """Shapes of all batches that are to come."""
    shapes: list[torch.Size] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    return shapes


def test_an_installed_one_trains_in_whole_batches(asked, networks, installed: str) -> None:
    """From epoch to epoch of three batches each, and at the rate of Adam's first step: each weight
    moves by the learning rate, whatever its gradient is."""
    parameters = asked(installed)
    initial = fine_tuner(parameters, 3).network.fc.bias.detach().clone()
    rate = parameters.train.learning_rate
    with ModeTimer("cpu", parameters) as mode_timer:
        assert mode_timer.peers[installed].reason is None
        [network] = networks
        moved = (network.fc.bias.detach() - initial).abs()
        assert moved == pytest.approx([rate] * 3, rel=0.01)
        shapes = seen(network)
        assert mode_timer.time(installed, 7).seconds > 0
        assert shapes == [(4, 3, 32, 32)] * 7
        assert all(value.isfinite().all() for value in network.state_dict().values())
    children = multiprocessing.active_children()
    assert not any(psutil.Process(each.pid).status() == "stopped" for each in children)


def test_an_installed_one_leaves_the_process_as_it_was(asked, installed: str) -> None:
    parameters = asked(installed)
    accelerators.prepare("cpu")
    peers.start(installed, "cpu", parameters, 3).stop()  # what stays loaded is loaded
    before = process()
    peer = peers.start(installed, "cpu", parameters, 3)
    assert process() == before
    del before["numbers"]  # it draws more of them
    peer.run(2)
    after = process()
    assert {name: after[name] for name in before} == before
    peer.stop()


def test_an_installed_one_has_mixed_precision_or_says_so(asked, installed: str) -> None:
    with ModeTimer("cpu", asked(installed, train={"precision": "bf16-mixed"})) as mode_timer:
        reason = mode_timer.peers[installed].reason
    if installed == "fastai":
        assert reason.startswith("fastai's mixed precision works on CUDA alone, not on cpu.")
    else:
        assert reason is None

import atexit
import gc
import multiprocessing
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from benchmark.common.modes import MODES
from benchmark.data.digest_log import DigestLog
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators, processors
from benchmark.timing import timer
from benchmark.timing.schema import Block
from benchmark.timing.timer import ModeTimer, Warmup, steps_per_epoch

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.mark.parametrize(
    ("seconds", "compiled", "steady"),
    [
        ((1.0,), (False,), False),  # too few to tell
        ((9.0, 1.0, 1.2, 1.1), (True, False, False, False), True),
        ((9.0, 1.4, 1.0), (True, False, False), False),  # still moving
        ((9.0, 1.0, 1.0), (True, True, False), False),  # compiled a moment ago
    ],
)
def test_a_warm_up_is_over_when_steps_are_steady(seconds, compiled, steady: bool) -> None:
    assert Warmup(seconds, compiled).steady == steady


def test_compiling_costs_what_its_steps_took_beyond_a_warm_one() -> None:
    warmup = Warmup((9.0, 5.0, 1.0, 1.0, 1.0, 1.0), (True, True, False, False, False, False))
    assert warmup.step_seconds == 1
    assert warmup.compile_seconds == 8 + 4


def states() -> set[str]:
    children = multiprocessing.active_children()
    return {psutil.Process(child.pid).status() for child in children}


def test_every_mode_runs_and_is_timed(parameters) -> None:
    before = set(multiprocessing.active_children())
    with ModeTimer("cpu", parameters) as mode_timer:
        names = set(mode_timer.modes)
        assert mode_timer.seconds_to_first_step > mode_timer.first_step.seconds > 0
        assert all(mode_timer.time(name, 2).seconds > 0 for name in names)
        assert set(mode_timer.names[:2]) == {"input", "baseline_input"}
        assert set(multiprocessing.active_children()) > before
    assert names == {name for name, mode in MODES.items() if not mode.peer}
    assert set(multiprocessing.active_children()) <= before


def test_all_modes_share_one_network_and_one_optimizer(parameters) -> None:
    """A second network with its gradients and its Adam would take 376 MB more."""
    before = live_objects()
    with ModeTimer("cpu", parameters) as mode_timer:
        for name in mode_timer.names:
            mode_timer.time(name, 1)
        ids = {id(x) for x in before}
        created = [x for x in live_objects() if id(x) not in ids]
        # Lightning's wrapper of the optimizer is an Optimizer too, with the same state.
        states = {id(x.state) for x in created if isinstance(x, torch.optim.Optimizer)}
        assert states == {id(mode_timer.lightning.optimizer.state)}
        parameters = {id(x) for x in created if isinstance(x, nn.Parameter)}
        assert parameters == {id(x) for x in mode_timer.module.network.parameters()}


def live_objects() -> list[object]:
    """Return all parameters and optimizers of this process."""
    gc.collect()
    kinds = nn.Parameter, torch.optim.Optimizer
    return [x for x in gc.get_objects() if issubclass(type(x), kinds)]


def test_no_mode_computes_digests(parameters, monkeypatch) -> None:
    """They are this suite's evidence of a training, not a cost of Lightning's loop."""
    for method in ("record_order", "record_pixels"):
        monkeypatch.setattr(DigestLog, method, lambda *_: pytest.fail("a digest was computed"))
    with ModeTimer("cpu", parameters) as mode_timer:
        for name in mode_timer.names:
            mode_timer.time(name, 2)


def test_a_timed_block_leaves_nothing_to_be_done_at_exit(parameters) -> None:
    with ModeTimer("cpu", parameters) as mode_timer:
        mode_timer.time("compute", 1)
        before = atexit._ncallbacks()
        mode_timer.time("compute", 1)
        assert atexit._ncallbacks() == before


def test_loaders_start_before_anything_is_trained(change, workspace, monkeypatch) -> None:
    """Their workers are copies of the process: each page that it writes to later is copied."""
    workers: list[int] = []
    plain = ModeTimer.time

    def time(mode_timer: ModeTimer, name: str, steps: int) -> Block:
        workers.append(len(multiprocessing.active_children()))
        return plain(mode_timer, name, steps)

    monkeypatch.setattr(ModeTimer, "time", time)
    with ModeTimer("cpu", change(data={"num_workers": 1})) as mode_timer:
        for name in mode_timer.names:
            mode_timer.warm_up(name)
    assert workers[0] == workers[-1] > 2 * processors.processor_count()


def test_determinism_is_a_parameter(change, workspace) -> None:
    """And the mode without it leaves it as it is. Only the modes that are asked for are made."""
    for deterministic in (True, False):
        modes = ["trainer", *(["nondeterministic"] if deterministic else [])]
        parameters = change(throughput={"deterministic": deterministic, "modes": modes})
        with ModeTimer("cpu", parameters) as mode_timer:
            assert [*mode_timer.modes] == modes
            for name in modes:
                mode_timer.time(name, 1)
            assert torch.are_deterministic_algorithms_enabled() == deterministic


def timed(seconds: list[float]) -> ModeTimer:
    mode_timer = ModeTimer.__new__(ModeTimer)
    mode_timer.accelerator = "cpu"
    mode_timer.time = lambda name, steps: Block(seconds=seconds.pop(0), compilations=0)  # type: ignore[method-assign]
    return mode_timer


def test_a_warm_up_has_a_cap_and_says_so(change) -> None:
    mode_timer = timed([1.0, 2.0] * 10)
    mode_timer.parameters = change(throughput={"warmup_steps": 6})
    warmup = mode_timer.warm_up("trainer")
    assert len(warmup.seconds) == 6
    assert not warmup.steady


def test_a_warm_up_goes_on_until_a_gpus_clock_is_up(change, monkeypatch) -> None:
    """However many steps that are: the Trainer's, which is the first that trains."""
    monkeypatch.setattr(timer, "LEAST_SECONDS", {"cpu": 2.0})
    mode_timer = timed([0.125] * 30)
    mode_timer.parameters = change(throughput={"warmup_steps": 6})
    assert len(mode_timer.warm_up("trainer").seconds) == 16
    assert len(mode_timer.warm_up("compute").seconds) == 2


def test_a_warm_up_uses_up_what_workers_have_prefetched(change) -> None:
    mode_timer = timed([1.0] * 20)
    mode_timer.parameters = change(data={"num_workers": 3})
    assert len(mode_timer.warm_up("loop").seconds) == 2 * 3 + 1
    assert len(mode_timer.warm_up("compute").seconds) == 2


def test_an_error_leaves_no_process_that_stands_still(change, workspace, monkeypatch) -> None:
    parameters = change(data={"num_workers": 1})
    monkeypatch.setattr(ModeTimer, "warm_up", lambda *_: 1 / 0)

    def fail() -> None:
        with ModeTimer("cpu", parameters) as mode_timer:
            mode_timer.time("baseline_input", 1)
            assert states() == {psutil.STATUS_STOPPED}
            mode_timer.warm_up("input")

    with pytest.raises(ZeroDivisionError):
        fail()
    assert psutil.STATUS_STOPPED not in states()


def test_whole_batches_only(change, workspace) -> None:
    assert steps_per_epoch(change(data={"batch_size": 4})) == 15 // 4
    with pytest.raises(UserError, match=r"batch_size = 16: there are 15 training images.*Lower it"):
        steps_per_epoch(change(data={"batch_size": 16}))


def test_every_mode_runs_on_single_images(change, workspace: Path) -> None:
    with ModeTimer("cpu", change(data={"batch_size": 1, "image_size": 64})) as mode_timer:
        assert all(mode_timer.time(name, 2).seconds > 0 for name in mode_timer.modes)


def test_single_images_of_single_pixels_in_the_end_are_refused(change, workspace: Path) -> None:
    """Batch norm has nothing to learn from; a last batch of one image is left out anyway."""
    with pytest.raises(UserError, match=r"batch_size = 1: .*image_size = 32.*or image_size = 33"):
        steps_per_epoch(change(data={"batch_size": 1}))
    assert steps_per_epoch(change(data={"batch_size": 7})) == 2
    frozen = change(data={"batch_size": 1}, model={"freeze_backbone": True})
    assert steps_per_epoch(frozen) == 15


def test_every_block_is_synchronised_at_both_ends(parameters, monkeypatch) -> None:
    with ModeTimer("cpu", parameters) as mode_timer:
        events: list[str] = []
        monkeypatch.setattr(accelerators, "synchronise", lambda name: events.append("wait"))
        monkeypatch.setattr(mode_timer.modes["compute"], "run", lambda steps: events.append("run"))
        mode_timer.time("compute", 1)
    assert events[:3] == ["wait", "run", "wait"]

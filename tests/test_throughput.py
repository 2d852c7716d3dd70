import time
from typing import Any

import pytest

from benchmark import accelerators, throughput
from benchmark.accelerators import find
from benchmark.errors import UserError
from benchmark.files import read_json
from benchmark.model import FineTuner
from benchmark.results import Results
from benchmark.throughput import Block

pytestmark = pytest.mark.usefixtures("small_network")


def test_blocks_cover_the_steps_after_the_warm_up(parameters) -> None:
    blocks = throughput.measure(find("cpu"), parameters)
    assert len(blocks) == 3
    # 15 images in batches of 4, 4, 4, 3: two epochs of warm-up, then 4 + 4, 4 + 3, 4 + 4
    assert [block.images for block in blocks] == [8, 7, 8]
    assert all(block.seconds > 0 and not block.compilations for block in blocks)


def test_the_result_holds_rates_blocks_and_the_workload(parameters) -> None:
    throughput.run(find("cpu"), parameters)
    result = read_json(Results("cpu").throughput)
    rates = [block["images"] / block["seconds"] for block in result["blocks"]]
    rate = result["modes"]["trainer"]["images_per_second"]
    assert result["status"] == "ok"
    assert rate["low"] == pytest.approx(min(rates))
    assert rate["high"] == pytest.approx(max(rates))
    assert sorted(rates)[1] == pytest.approx(rate["median"])
    assert result["workload"]["batch_size"] == 4
    assert result["workload"]["network"] == "resnet50"


def test_a_frozen_backbone_still_runs_on_images(change, workspace, monkeypatch) -> None:
    shapes: set[tuple[int, ...]] = set()
    forward = FineTuner.forward

    def noted(model: FineTuner, inputs: Any) -> Any:
        shapes.add(inputs.shape[1:])
        return forward(model, inputs)

    monkeypatch.setattr(FineTuner, "forward", noted)
    throughput.measure(find("cpu"), change(model={"freeze_backbone": True}))
    assert shapes == {(3, 32, 32)}


class LazyDevice:
    """Takes work at once and does it, `seconds` each, only when it is waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.queue = 0

    def enqueue(self, *_: Any) -> None:
        self.queue += 1

    def synchronise(self, name: str) -> None:
        end = time.perf_counter() + self.seconds * self.queue
        while time.perf_counter() < end:
            pass
        self.queue = 0


def test_a_lazy_device_does_not_look_fast(parameters, monkeypatch) -> None:
    """0.2 s of queued work a step, two steps a block: no block may seem to take less."""
    device = LazyDevice(0.2)
    monkeypatch.setattr(accelerators, "synchronise", device.synchronise)
    step = throughput.BlockTimer.on_train_batch_end

    def queue_and_step(self: throughput.BlockTimer, *arguments: Any) -> None:
        device.enqueue()
        step(self, *arguments)

    monkeypatch.setattr(throughput.BlockTimer, "on_train_batch_end", queue_and_step)
    blocks = throughput.measure(find("cpu"), parameters)
    assert all(block.seconds > 2 * device.seconds for block in blocks)


def test_blocks_with_compilations_do_not_count(parameters, monkeypatch) -> None:
    blocks = [Block(100, 1.0, 0), Block(100, 50.0, 3), Block(100, 2.0, 0)]
    monkeypatch.setattr(throughput, "measure", lambda *_: blocks)
    throughput.run(find("cpu"), parameters)
    result = read_json(Results("cpu").throughput)
    assert result["modes"]["trainer"]["images_per_second"] == {
        "median": 75.0, "low": 50.0, "high": 100.0,
    }  # fmt: skip
    assert len(result["blocks"]) == 3


def test_nothing_but_compilations_is_an_error(parameters, monkeypatch) -> None:
    monkeypatch.setattr(throughput, "measure", lambda *_: [Block(100, 1.0, 1)])
    with pytest.raises(UserError, match=r"compiled in each of 1 blocks.*Raise throughput\."):
        throughput.run(find("cpu"), parameters)

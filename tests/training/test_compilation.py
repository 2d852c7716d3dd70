"""torch.compile: where it is refused, its graphs, and its errors."""

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.errors.training_errors import explain_training_errors
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators
from benchmark.throughput.measuring_process import attempt
from benchmark.training import compilation
from tests.training.test_model import batch, tuner


class Convolutions(nn.Module):
    """A small network with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 16, 3, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.convolution(images)).relu().mean((2, 3))
        logits: torch.Tensor = self.head(features)
        return logits


class Head(nn.Module):
    """A network without convolutions, which is compiled in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(features)
        return logits


@pytest.mark.slow
def test_each_batch_size_has_its_graph() -> None:
    """A graph for several sizes has other bits on several threads.

    torch makes one at the second size, and uses it for the first size too. So an epoch's last batch
    would change the next epoch, but not that of a training which is resumed there.
    """
    network = Head()
    compilation.compile_network(network, "default")
    before = accelerators.count_compilations("cpu")
    for size in (4, 3, 2, 4):
        with torch.no_grad():
            network(torch.zeros(size, 8))
    assert accelerators.count_compilations("cpu") == before + 3


@pytest.mark.parametrize(
    ("name", "mode", "devices", "message"),
    [
        ("xla", "default", 1, "torch.compile does not support xla"),
        ("tpu", "reduce-overhead", 1, "torch.compile does not support tpu"),
        ("cpu", "reduce-overhead", 1, "cpu is not an NVIDIA GPU. Set it to default"),
        ("gpu", "reduce-overhead", 1, "gpu is not an NVIDIA GPU. Set it to default"),
        ("gpu on CUDA", "reduce-overhead", 8, "works on one device only"),
        ("gpu on ROCm", "reduce-overhead", 1, "gpu on ROCm is not an NVIDIA GPU"),
        ("gpu on CUDA", "reduce-overhead", 1, ""),
        ("gpu on ROCm", "default", 8, ""),
        ("cpu", "default", 1, ""),
        ("xla", False, 1, ""),
    ],
)
def test_a_mode_is_refused_where_it_cannot_work(
    change, monkeypatch, name: str, mode: Any, devices: int, message: str
) -> None:
    parameters = change(model={"compile": mode}, trainer={"devices": devices})
    kind = {"cpu": "cpu", "gpu": "mps"}.get(name, "cuda")
    monkeypatch.setattr(accelerators, "device", lambda _: torch.device(kind))
    monkeypatch.setattr(torch.version, "hip", "7.0" if "ROCm" in name else None)
    if not message:
        compilation.check(name, parameters)
        return
    with pytest.raises(UserError, match=message):
        compilation.check(name, parameters)


def test_a_compiled_network_keeps_the_names_of_its_weights(monkeypatch) -> None:
    options: dict[str, Any] = {}
    monkeypatch.setattr(nn.Module, "compile", lambda _, **chosen: options.update(chosen))
    model = tuner(compile="reduce-overhead")
    assert "fc.weight" in model.network.state_dict()
    assert options["options"]["triton.cudagraphs"]
    assert options["dynamic"] is False


def test_a_recorded_cuda_graph_counts_as_a_compilation() -> None:
    """A warm-up does not end, and a block does not count, while graphs are recorded."""
    from torch._inductor import cudagraph_trees

    event = "CUDAGraphNode.record"
    assert event in inspect.getsource(cudagraph_trees.CUDAGraphNode)
    before = accelerators.count_compilations("gpu")
    with cudagraph_trees.dynamo_timed_cudagraph(event, None, None):
        pass
    assert accelerators.count_compilations("gpu") == before + 1


def test_logits_are_kept_although_the_next_batch_overwrites_the_networks_output() -> None:
    """A CUDA graph writes each output to the same memory."""
    model, (images, labels) = tuner(), batch()
    output = torch.zeros(2, 3)
    model.network.forward = lambda images: output.add_(1)
    first, second = (model._evaluate((images, labels), "test", *_metrics(model)) for _ in range(2))
    assert torch.equal(first + 1, second)


def _metrics(model: Any) -> tuple[Any, Any]:
    model.log = model.log_dict = lambda *_, **__: None
    return model.test_accuracy, model.test_loss


@pytest.mark.parametrize(
    "failure", ["skipping cudagraphs due to mutated inputs", "No C++ compiler"]
)
def test_a_network_that_cannot_be_compiled_is_one_line(monkeypatch, failure: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(failure)

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", fail)
    network = Convolutions()
    compilation.compile_network(network, "default")
    with (
        pytest.raises(UserError, match=r"cpu: torch\.compile failed \(.*Set model\.compile to f"),
        explain_training_errors("cpu", 2, lambda: "in epoch 1"),
    ):
        network(torch.zeros(2, 3, 8, 8))
    refusal = attempt(lambda: network(torch.zeros(2, 3, 8, 8)))
    assert refusal.status == "refused"
    assert "torch.compile failed" in refusal.reason

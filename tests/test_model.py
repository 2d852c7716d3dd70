import functools
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet50_Weights, resnet50

from benchmark import digests
from benchmark.errors import UserError
from benchmark.model import FineTuner, build
from benchmark.parameters import ModelParameters

PLAIN = {"weights": "random", "freeze_backbone": False, "channels_last": False, "compile": False}


def tuner(classes: int = 3, seed: int = 7, **options: Any) -> FineTuner:
    return FineTuner(classes, seed, ModelParameters(**PLAIN | options), 1e-4)


def batch(size: int = 2, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, 64, 64, generator=random)
    return images, torch.randint(classes, (size,), generator=random)


def test_it_is_torchvisions_resnet50_with_another_head() -> None:
    ours, theirs = build(7, 0, "random"), resnet50(num_classes=7)
    shapes = [{name: v.shape for name, v in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_weights_are_a_function_of_the_seed_and_of_nothing_else() -> None:
    first = digests.of_state(build(3, 7, "random").state_dict())
    torch.rand(5)
    before = torch.get_rng_state()
    assert digests.of_state(build(3, 7, "random").state_dict()) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert digests.of_state(build(3, 8, "random").state_dict()) != first


@pytest.mark.parametrize("classes", [2, 50])
def test_logits_for_any_number_of_classes(classes: int) -> None:
    assert tuner(classes).eval()(batch()[0]).shape == (2, classes)


def test_every_parameter_gets_a_gradient() -> None:
    model = tuner()
    model.training_step(batch(), 0).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_a_frozen_backbone_gets_none_and_keeps_its_statistics() -> None:
    model = tuner(freeze_backbone=True).train()
    before = digests.of_state(model.network.state_dict())
    model.training_step(batch(), 0).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"network.fc.weight", "network.fc.bias"}
    assert digests.of_state(model.network.state_dict()) == before
    optimizer = model.configure_optimizers()
    assert sum(p.numel() for g in optimizer.param_groups for p in g["params"]) == 2048 * 3 + 3


def test_the_optimizer_is_adam_at_the_given_rate() -> None:
    optimizer = tuner().configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    assert [group["lr"] for group in optimizer.param_groups] == [1e-4]


def test_channels_last_computes_the_same_in_another_layout() -> None:
    plain, last = tuner().eval(), tuner(channels_last=True).eval()
    layout = torch.channels_last
    assert last.network.conv1.weight.is_contiguous(memory_format=layout)
    torch.testing.assert_close(last(batch()[0]), plain(batch()[0]), rtol=1e-3, atol=1e-4)


def test_compile_wraps_the_forward_and_keeps_the_names_of_weights(monkeypatch) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    model = tuner(compile=True)
    assert compiled == [model.network]
    assert "fc.weight" in model.network.state_dict()


def safetensors(path: Path, state: dict[str, torch.Tensor]) -> str:
    save_file(state, path / "weights.safetensors")
    return str(path / "weights.safetensors")


def torch_file(path: Path, state: dict[str, torch.Tensor]) -> str:
    torch.save(state, path / "weights.pt")
    return str(path / "weights.pt")


@pytest.mark.parametrize("write", [safetensors, torch_file])
@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_local_file_gives_the_backbone_and_the_seed_the_head(
    tmp_path: Path, write: Callable[..., str], with_head: bool, prefix: str
) -> None:
    """With another number of classes or no head, and as DataParallel names its entries."""
    source = build(9, 1, "random").state_dict()
    if not with_head:
        source = {name: v for name, v in source.items() if not name.startswith("fc.")}
    saved = {prefix + name: value for name, value in source.items()}
    loaded = build(3, 7, write(tmp_path, saved)).state_dict()
    seeded = build(3, 7, "random").state_dict()
    for name, value in loaded.items():
        expected = seeded[name] if name.startswith("fc.") else source[name]
        assert torch.equal(value, expected), name


def test_missing_weights_are_an_error_and_not_random() -> None:
    with pytest.raises(UserError, match=r"model\.weights: there is no file 'nowhere\.pt'"):
        build(3, 7, "nowhere.pt")


@pytest.mark.parametrize("name", ["bad.safetensors", "bad.pt"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(UserError, match=rf"{name} cannot be read"):
        build(3, 7, str(tmp_path / name))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = build(3, 7, "random").state_dict()
    del state["conv1.weight"]
    with pytest.raises(UserError, match=r"does not hold ResNet50 weights.*'conv1\.weight'"):
        build(3, 7, safetensors(tmp_path, state))


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(UserError, match=r"trap\.pt cannot be read"):
        build(3, 7, str(tmp_path / "trap.pt"))
    assert not (tmp_path / "sprung").exists()


class Hub:
    """torchvision's download on this machine: a hub cache, and a server that may hold the file."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = root / "hub/checkpoints"
        self.served = root / "served"
        self.served.mkdir()
        self.state = build(1000, 1, "random").state_dict()
        torch.save(self.state, root / "weights.pth")
        self.content = (root / "weights.pth").read_bytes()
        self.name = f"resnet50-{hashlib.sha256(self.content).hexdigest()[:8]}.pth"
        handler = functools.partial(Silent, directory=self.served)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        monkeypatch.setattr(torch.hub, "_hub_dir", str(root / "hub"))
        self.point(monkeypatch, self.server.server_port)

    def point(self, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        """Where torchvision looks for its weights."""
        url = f"http://127.0.0.1:{port}/{self.name}"
        monkeypatch.setattr(ResNet50_Weights.IMAGENET1K_V2.value, "url", url)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(tmp_path, monkeypatch)
    thread = threading.Thread(target=hub.server.serve_forever)
    thread.start()
    yield hub
    hub.server.shutdown()
    thread.join()
    hub.server.server_close()


def test_torchvisions_weights_are_downloaded_once(hub: Hub) -> None:
    (hub.served / hub.name).write_bytes(hub.content)
    assert torch.equal(build(3, 7, "IMAGENET1K_V2").conv1.weight, hub.state["conv1.weight"])
    (hub.served / hub.name).unlink()
    assert torch.equal(build(3, 7, "IMAGENET1K_V2").conv1.weight, hub.state["conv1.weight"])


def test_a_download_with_a_wrong_hash_is_refused(hub: Hub) -> None:
    (hub.served / hub.name).write_bytes(hub.content + b"0")
    with pytest.raises(UserError, match="cannot be downloaded: invalid hash value"):
        build(3, 7, "IMAGENET1K_V2")
    assert not (hub.cache / hub.name).exists()


def test_a_cached_file_with_a_wrong_hash_is_refused(hub: Hub) -> None:
    """torch.hub would load it."""
    hub.cache.mkdir(parents=True)
    (hub.cache / hub.name).write_bytes(hub.content + b"0")
    with pytest.raises(UserError, match=rf"{hub.name} is damaged: .* Delete it"):
        build(3, 7, "IMAGENET1K_V2")


def test_weights_that_the_server_lacks_are_one_clear_error(hub: Hub) -> None:
    with pytest.raises(UserError, match="IMAGENET1K_V2 cannot be downloaded: HTTP Error 404"):
        build(3, 7, "IMAGENET1K_V2")


def test_without_a_network_the_error_says_what_to_do(hub: Hub, monkeypatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hub.point(monkeypatch, unused.getsockname()[1])
        with pytest.raises(UserError, match=r"cannot be downloaded.*name a local file or random"):
            build(3, 7, "IMAGENET1K_V2")

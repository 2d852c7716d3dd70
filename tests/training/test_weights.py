"""Where weights come from: files, and torchvision's download with a server on this machine."""

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
from torchvision.models import ResNet, ResNet50_Weights

from benchmark.common.errors import UserError
from benchmark.common.parameters import ModelParameters
from benchmark.training.model import build

pytestmark = pytest.mark.usefixtures("small_network")


def network(classes: int, seed: int, weights: str) -> ResNet:
    options = {"freeze_backbone": False, "channels_last": False, "compile": False}
    return build(classes, seed, ModelParameters(weights=weights, **options))


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
    source = network(9, 1, "random").state_dict()
    if not with_head:
        source = {name: v for name, v in source.items() if not name.startswith("fc.")}
    saved = {prefix + name: value for name, value in source.items()}
    loaded = network(3, 7, write(tmp_path, saved)).state_dict()
    seeded = network(3, 7, "random").state_dict()
    for name, value in loaded.items():
        expected = seeded[name] if name.startswith("fc.") else source[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("name", ["nowhere.pt", "source"])
def test_missing_weights_are_an_error_and_not_random(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"model\.weights: there is no file '(nowhere|weights/)"):
        network(3, 7, name)


def test_source_is_the_pinned_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved = network(9, 1, "random").state_dict()
    (tmp_path / "weights").mkdir()
    save_file(saved, "weights/source.safetensors")
    assert torch.equal(network(3, 7, "source").conv1.weight, saved["conv1.weight"])


@pytest.mark.parametrize("name", ["bad.safetensors", "bad.pt"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(UserError, match=rf"{name} cannot be read"):
        network(3, 7, str(tmp_path / name))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = network(3, 7, "random").state_dict()
    del state["conv1.weight"]
    with pytest.raises(UserError, match=r"does not hold ResNet50 weights.*'conv1\.weight'"):
        network(3, 7, safetensors(tmp_path, state))


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(UserError, match=r"trap\.pt cannot be read"):
        network(3, 7, str(tmp_path / "trap.pt"))
    assert not (tmp_path / "sprung").exists()


class Hub:
    """torchvision's download on this machine: a hub cache, and a server that may hold the file."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = root / "hub/checkpoints"
        self.served = root / "served"
        self.served.mkdir()
        self.state = network(1000, 1, "random").state_dict()
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
    thread = threading.Thread(target=hub.server.serve_forever, args=[0.01])
    thread.start()
    yield hub
    hub.server.shutdown()
    thread.join()
    hub.server.server_close()


def test_torchvisions_weights_are_downloaded_once(hub: Hub) -> None:
    (hub.served / hub.name).write_bytes(hub.content)
    assert torch.equal(network(3, 7, "IMAGENET1K_V2").conv1.weight, hub.state["conv1.weight"])
    (hub.served / hub.name).unlink()
    assert torch.equal(network(3, 7, "IMAGENET1K_V2").conv1.weight, hub.state["conv1.weight"])


def test_a_download_with_a_wrong_hash_is_refused(hub: Hub) -> None:
    (hub.served / hub.name).write_bytes(hub.content + b"0")
    with pytest.raises(UserError, match="cannot be downloaded: invalid hash value"):
        network(3, 7, "IMAGENET1K_V2")
    assert not (hub.cache / hub.name).exists()


def test_a_cached_file_with_a_wrong_hash_is_refused(hub: Hub) -> None:
    """torch.hub would load it."""
    hub.cache.mkdir(parents=True)
    (hub.cache / hub.name).write_bytes(hub.content + b"0")
    with pytest.raises(UserError, match=rf"{hub.name} is damaged: .* Delete it"):
        network(3, 7, "IMAGENET1K_V2")


def test_weights_that_the_server_lacks_are_one_clear_error(hub: Hub) -> None:
    with pytest.raises(UserError, match="IMAGENET1K_V2 cannot be downloaded: HTTP Error 404"):
        network(3, 7, "IMAGENET1K_V2")


def test_without_a_network_the_error_says_what_to_do(hub: Hub, monkeypatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hub.point(monkeypatch, unused.getsockname()[1])
        with pytest.raises(UserError, match=r"cannot be downloaded.*name a local file or random"):
            network(3, 7, "IMAGENET1K_V2")

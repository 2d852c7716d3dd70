"""Weights from files as training scripts write them, and from a local server like torchvision's."""

import functools
import hashlib
import pickle
import re
import socket
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet, ResNet50_Weights, SqueezeNet1_1_Weights

from benchmark.common.parameters import ModelParameters
from benchmark.errors.user_error import UserError
from benchmark.training import networks
from benchmark.training.model import FineTuner
from benchmark.training.weights import fingerprint
from tests import REPOSITORY

pytestmark = pytest.mark.usefixtures("small_network")
State = dict[str, torch.Tensor]


def tuner(classes: int, seed: int, weights: str) -> FineTuner:
    options = {"freeze_backbone": False, "channels_last": False, "compile": False}
    return FineTuner(classes, seed, ModelParameters(weights=weights, **options), 1e-4)


def network(classes: int, seed: int, weights: str) -> ResNet:
    return tuner(classes, seed, weights).network


@pytest.fixture
def learned(small_network: None) -> State:
    """The state of a network of nine classes; its batch norm has counted batches."""
    state: State = network(9, 1, "random").state_dict()
    return {name: value + 1 for name, value in state.items()}


def backbone(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def check_loaded(path: Path, learned: State, **replaced: torch.Tensor) -> str:
    """Check that the backbone is the file's and the head the seed's; return the origin."""
    loaded = tuner(3, 7, str(path))
    seeded = network(3, 7, "random").state_dict()
    for name, value in loaded.network.state_dict().items():
        expected = seeded if name.startswith("fc.") else learned | replaced
        assert torch.equal(value, expected[name]), name
    return loaded.origin


def refusal(path: Path) -> str:
    """Return the error's one line about the file."""
    with pytest.raises(UserError) as caught:
        network(3, 7, str(path))
    text = str(caught.value)
    assert path.name in text
    assert text.isprintable(), text
    assert "weights_only" not in text
    return text


def save_legacy(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


FORMATS = {
    save_file: "safetensors",
    torch.save: "torch's zip format",
    save_legacy: "torch's legacy format",
}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w"])
@pytest.mark.parametrize(("save", "kind"), FORMATS.items())
def test_a_file_is_read_by_its_content(
    tmp_path: Path, learned: State, save: Callable[..., None], kind: str, name: str
) -> None:
    save(learned, tmp_path / name)
    origin = check_loaded(tmp_path / name, learned)
    assert origin == f"weights of {tmp_path / name} ({kind}); left out: fc"


@pytest.mark.parametrize(
    ("wrap", "origin"),
    [
        (lambda s: backbone(s), ""),
        # torchvision's references
        (
            lambda s: {"model": s, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
            "; entry 'model'; left out: fc",
        ),
        # PyTorch's ImageNet example
        (
            lambda s: {"epoch": 1, "state_dict": prefixed("module.", s), "best": torch.ones(())},
            "; entry 'state_dict', prefix 'module.'; left out: fc",
        ),
        # timm
        (
            lambda s: {"arch": "resnet50", "state_dict": s, "version": 2, "metric": 0.7},
            "; entry 'state_dict'; left out: fc",
        ),
        # Lightning
        (
            lambda s: {"state_dict": prefixed("model.", s) | {"loss.weight": torch.ones(9)}},
            "; entry 'state_dict', prefix 'model.'; left out: fc, loss",
        ),
        # torch.optim.swa_utils.AveragedModel
        (
            lambda s: {"model_ema": prefixed("module.", s) | {"n_averaged": torch.ones(())}},
            "; entry 'model_ema', prefix 'module.'; left out: fc, n_averaged",
        ),
        (
            lambda s: {"checkpoint": {"net": prefixed("module._orig_mod.backbone.", backbone(s))}},
            "; entry 'checkpoint.net', prefix 'module._orig_mod.backbone.'",
        ),
    ],
)
def test_what_training_scripts_write_is_read(
    tmp_path: Path, learned: State, wrap: Callable[[State], Any], origin: str
) -> None:
    torch.save(wrap(learned), tmp_path / "w.pth")
    expected = f"weights of {tmp_path / 'w.pth'} (torch's zip format){origin}"
    assert check_loaded(tmp_path / "w.pth", learned) == expected


@pytest.mark.parametrize("head", ["fc.0.weight", "classifier.weight", "head.fc.weight", "classes"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_any_head_is_left_out(tmp_path: Path, learned: State, head: str, prefix: str) -> None:
    """The numbers in the head do not matter, not even NaN."""
    saved = prefixed(prefix, backbone(learned) | {head: torch.full((5, 16), torch.nan)})
    save_file(saved, tmp_path / "w")
    origin = check_loaded(tmp_path / "w", learned)
    assert origin.endswith(f"left out: {head.split('.')[0]}")


def test_files_older_than_the_counters_of_batch_norm_start_them_at_0(
    tmp_path: Path, learned: State
) -> None:
    counters = {name for name in learned if name.endswith("num_batches_tracked")}
    old = {name: value for name, value in learned.items() if name not in counters}
    save_file(old, tmp_path / "w")
    zeros = dict.fromkeys(counters, torch.tensor(0))
    origin = check_loaded(tmp_path / "w", learned, **zeros)
    assert origin.endswith("; left out: fc; set to 0: num_batches_tracked")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_32_bits(
    tmp_path: Path, learned: State, dtype: torch.dtype
) -> None:
    """Programs that convert a complete state_dict store counters in that precision too."""
    stored = {name: value.to(dtype) for name, value in learned.items()}
    save_file(stored, tmp_path / "w")
    check_loaded(tmp_path / "w", {n: v.to(learned[n].dtype) for n, v in stored.items()})


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e300])
@pytest.mark.parametrize("name", ["conv1.weight", "bn1.running_var"])
def test_what_is_not_finite_in_32_bits_is_refused(
    tmp_path: Path, learned: State, name: str, value: float
) -> None:
    learned[name] = learned[name].double()
    learned[name].view(-1)[3] = value
    save_file(learned, tmp_path / "w")
    assert f"{name} has numbers that are not finite" in refusal(tmp_path / "w")


def test_two_entries_that_fit_are_refused(tmp_path: Path, learned: State) -> None:
    """Nothing chooses silently between the last and the averaged weights."""
    averaged = {name: value + 1 for name, value in learned.items()}
    saved = {"model": learned, "model_ema": prefixed("module.", averaged)}
    torch.save(saved, tmp_path / "w")
    text = refusal(tmp_path / "w")
    assert "entry 'model', and at entry 'model_ema', prefix 'module.'" in text


def test_two_names_of_the_same_weights_are_one(tmp_path: Path, learned: State) -> None:
    """A LightningModule may contain its backbone twice."""
    torch.save(prefixed("model.", learned) | prefixed("backbone.", learned), tmp_path / "w")
    assert "prefix 'model.'" in check_loaded(tmp_path / "w", learned)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"conv1.weight": None}, "conv1.weight is missing"),
        ({"layer2.9.conv1.weight": torch.ones(2)}, "layer2.9.conv1.weight is unknown"),
        (
            {"bn1.weight": torch.ones(2)},
            "bn1.weight has shape (2,) and type torch.float32, not (64,) and torch.float32",
        ),
        (
            {"bn1.weight": torch.ones(64, dtype=torch.int8)},
            "bn1.weight has shape (64,) and type torch.int8, not (64,) and torch.float32",
        ),
        ({"bn1.weight": torch.ones(64, device="meta")}, "bn1.weight contains no plain numbers"),
        ({"bn1.weight": torch.ones(64).to_sparse()}, "bn1.weight contains no plain numbers"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_another_network_are_refused(
    tmp_path: Path, learned: State, change: dict[str, Any], complaint: str, prefix: str
) -> None:
    state = {name: v for name, v in (learned | change).items() if v is not None}
    torch.save({"state_dict": prefixed(prefix, state)}, tmp_path / "w")
    text = refusal(tmp_path / "w")
    assert "does not contain resnet50's weights" in text
    assert complaint in text


@pytest.mark.parametrize("content", [{}, [1], {"epoch": 1}, {"model": {0: torch.ones(1)}}, 7])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w")
    assert "no tensor of it has a name of resnet50's" in refusal(tmp_path / "w")


@pytest.mark.parametrize("name", ["nowhere.pt", "source"])
def test_missing_weights_are_an_error(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"model\.weights: there is no file '(nowhere|weights/)"
    ) as caught:
        network(3, 7, name)
    fetch = "It is pinned by weights.dvc. Fetch it: python -m benchmark dataset."
    assert (fetch in str(caught.value)) == (name == "source")


def test_source_is_the_pinned_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved = network(9, 1, "random").state_dict()
    (tmp_path / "weights").mkdir()
    save_file(saved, "weights/source.safetensors")
    assert torch.equal(network(3, 7, "source").conv1.weight, saved["conv1.weight"])


@pytest.mark.parametrize("name", ["bad.safetensors", "bad.pt"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"version https://git-lfs.github.com/"])
def test_a_file_without_weights_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    text = refusal(tmp_path / name)
    assert "cannot be read: it is neither safetensors nor written by torch.save" in text
    assert repr(content[:12])[1:] in text


@pytest.mark.parametrize("save", FORMATS)
def test_half_a_file_is_refused(tmp_path: Path, learned: State, save: Callable[..., None]) -> None:
    save(learned, tmp_path / "w")
    content = (tmp_path / "w").read_bytes()
    (tmp_path / "w").write_bytes(content[: len(content) // 2])
    assert "cannot be read: " in refusal(tmp_path / "w")


@pytest.mark.parametrize("save", [torch.save, save_legacy])
@pytest.mark.parametrize(
    ("extra", "kind"),
    [(Namespace(lr=0.1), "argparse.Namespace"), (Path("data"), "pathlib."), (nn.ReLU(), "ReLU")],
)
def test_a_file_of_more_than_tensors_names_the_class_in_one_line(
    tmp_path: Path, learned: State, save: Callable[..., None], extra: Any, kind: str
) -> None:
    save({"model": learned, "args": extra}, tmp_path / "w")
    text = refusal(tmp_path / "w")
    assert kind in text
    assert "docs/weights.md" in text


def test_the_documentation_says_how_to_take_the_weights_out(
    tmp_path: Path, learned: State, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": learned, "args": Namespace(lr=0.1)}, "checkpoint.pth")
    text = (REPOSITORY / "docs/weights.md").read_text(encoding="utf-8")
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], {})
    check_loaded(tmp_path / "weights.pth", learned)


@pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "w")
    assert "TorchScript" in refusal(tmp_path / "w")


def save_pickle(state: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(state))


@pytest.mark.parametrize("save", [torch.save, save_legacy, save_pickle])
def test_a_pickle_is_not_executed(tmp_path: Path, save: Callable[..., None]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    save({"conv1.weight": Trap()}, tmp_path / "trap.pt")
    refusal(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


class Hub:
    """A hub cache, and a local server that replaces torchvision's and may have the file."""

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
        """Make torchvision download from this port."""
        url = f"http://127.0.0.1:{port}/{self.name}"
        monkeypatch.setattr(ResNet50_Weights.IMAGENET1K_V2.value, "url", url)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


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
    """The server lacks them the second time."""
    (hub.served / hub.name).write_bytes(hub.content)
    for _ in range(2):
        assert torch.equal(network(3, 7, "IMAGENET1K_V2").conv1.weight, hub.state["conv1.weight"])
        (hub.served / hub.name).unlink(missing_ok=True)


def test_a_download_with_a_wrong_hash_is_refused(hub: Hub) -> None:
    (hub.served / hub.name).write_bytes(hub.content + b"0")
    with pytest.raises(UserError, match="cannot be downloaded: invalid hash value"):
        network(3, 7, "IMAGENET1K_V2")
    assert not (hub.cache / hub.name).exists()


def test_a_cached_file_with_a_wrong_hash_is_refused(hub: Hub) -> None:
    """torch.hub would load it without a check."""
    hub.cache.mkdir(parents=True)
    (hub.cache / hub.name).write_bytes(hub.content + b"0")
    with pytest.raises(UserError, match=rf"{hub.name} is damaged: .* Delete it"):
        network(3, 7, "IMAGENET1K_V2")


def test_each_name_of_torchvisions_is_of_the_network() -> None:
    """DEFAULT is another name of the newest weights, and has their fingerprint."""

    def named(architecture: str, weights: str) -> str:
        options = {"freeze_backbone": False, "channels_last": False, "compile": False}
        model = ModelParameters(architecture=architecture, weights=weights, **options)
        return fingerprint(model)

    assert named("resnet50", "DEFAULT") == named("resnet50", "IMAGENET1K_V2") == "IMAGENET1K_V2"
    assert named("vit_b_16", "IMAGENET1K_SWAG_E2E_V1") == "IMAGENET1K_SWAG_E2E_V1"
    with pytest.raises(
        UserError,
        match=r"no weights IMAGENET1K_V2 of efficientnet_b0\. Name IMAGENET1K_V1, DEFAULT, a file",
    ):
        named("efficientnet_b0", "IMAGENET1K_V2")
    with pytest.raises(UserError, match=r"model\.architecture = vit_b_61: .* vit_b_16"):
        named("vit_b_61", "DEFAULT")


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "DEFAULT"])
def test_the_weights_of_another_network_are_downloaded_too(hub: Hub, monkeypatch, weights) -> None:
    saved = networks.build("squeezenet1_1", 1000, 8, 64).state_dict()
    torch.save(saved, hub.served / "new.pth")
    content = (hub.served / "new.pth").read_bytes()
    name = f"squeezenet-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (hub.served / "new.pth").rename(hub.served / name)
    url = f"http://127.0.0.1:{hub.server.server_port}/{name}"
    monkeypatch.setattr(SqueezeNet1_1_Weights.IMAGENET1K_V1.value, "url", url)
    options = {"freeze_backbone": False, "channels_last": False, "compile": False}
    model = ModelParameters(architecture="squeezenet1_1", weights=weights, **options)
    loaded = FineTuner(3, 7, model, 1e-4)
    assert loaded.origin == "weights of IMAGENET1K_V1 (torchvision); left out: classifier.1"
    features = "features.3.squeeze.weight"
    assert torch.equal(loaded.network.state_dict()[features], saved[features])


def test_the_weights_of_a_vision_transformer_are_for_one_size() -> None:
    options = {"freeze_backbone": False, "channels_last": False, "compile": False}
    model = ModelParameters(architecture="vit_b_32", weights="DEFAULT", **options)
    with pytest.raises(
        UserError, match=r"IMAGENET1K_V1 of vit_b_32 are for data\.image_size = 224, not 64\. Set"
    ):
        FineTuner(3, 7, model, 1e-4, image_size=64)


def test_weights_that_the_server_lacks_are_an_error(hub: Hub) -> None:
    with pytest.raises(UserError, match="IMAGENET1K_V2 cannot be downloaded: HTTP Error 404"):
        network(3, 7, "IMAGENET1K_V2")


def test_without_a_network_the_error_says_what_to_do(hub: Hub, monkeypatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hub.point(monkeypatch, unused.getsockname()[1])
        with pytest.raises(UserError, match=r"cannot be downloaded.*name a local file or random"):
            network(3, 7, "IMAGENET1K_V2")

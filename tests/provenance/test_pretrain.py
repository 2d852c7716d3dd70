"""Source weights, with a small network and few species."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from benchmark.__main__ import main
from benchmark.common import digests
from benchmark.common.errors import UserError
from benchmark.common.files import read_json
from benchmark.common.parameters import Parameters
from benchmark.machine.accelerators import find
from benchmark.training.model import FineTuner
from provenance import pretrain
from tests.training.test_model import tuner

pytestmark = pytest.mark.usefixtures("small_network")

RECIPE = {
    "species": 3, "images_per_species": 8, "drawn_size": 48, "image_sizes": [32, 48],
    "batch_size": 8, "epochs": 3, "learning_rate": 0.001, "precision": "bf16-mixed",
}  # fmt: skip


@pytest.fixture
def small(change: Callable[..., Parameters], workspace: Path) -> Parameters:
    return change(pretrain=RECIPE)


def pretrained(parameters: Parameters) -> dict[str, Any]:
    pretrain.run(find("cpu"), parameters)
    return read_json(Path("weights/source.json"))


def test_the_card_describes_the_weights(small: Parameters) -> None:
    card = pretrained(small)
    weights = load_file("weights/source.safetensors")
    assert card["digest"] == digests.of_state(weights)
    assert card["images_seen"] == 3 * 8 * 3
    assert card["recipe"] == RECIPE
    assert card["seed"] == 7
    assert 0 <= card["source_test_accuracy"] <= 1
    assert not [name for name in weights if name.startswith("fc.")]


def test_convolutions_take_two_bytes_and_batch_statistics_stay_exact(small: Parameters) -> None:
    pretrained(small)
    for name, value in load_file("weights/source.safetensors").items():
        expected = torch.float16 if value.ndim == 4 else None
        assert value.dtype == (expected or value.dtype), name
        assert expected or value.dtype in (torch.float32, torch.int64), name


def test_the_weights_can_be_fine_tuned(small: Parameters) -> None:
    pretrained(small)
    weights = load_file("weights/source.safetensors")
    network = tuner(5, weights="source").network
    assert torch.equal(network.conv1.weight, weights["conv1.weight"].float())
    assert network.conv1.weight.dtype == torch.float32


def test_images_grow_with_the_epochs(small: Parameters, monkeypatch) -> None:
    sizes: list[int] = []

    def forward(self: pretrain.SourceLearner, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            sizes.append(images.shape[-1])
        return FineTuner.forward(self, images)

    monkeypatch.setattr(pretrain.SourceLearner, "forward", forward)
    pretrained(small)
    assert sizes == [32] * 6 + [48] * 3


def test_a_precision_that_the_accelerator_lacks_is_refused(small: Parameters) -> None:
    recipe = small.pretrain.model_copy(update={"precision": "16-mixed"})
    with pytest.raises(UserError, match="no 16-mixed on cpu"):
        pretrain.run(find("cpu"), small.model_copy(update={"pretrain": recipe}))


class PowerCut(pl.Callback):
    """Stops in the second step of an epoch."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("power cut")


def test_interrupted_and_resumed_gives_the_same_weights(small: Parameters, monkeypatch) -> None:
    whole = pretrained(small)
    with monkeypatch.context() as patch:
        trainer = pretrain._trainer

        def fragile(*arguments: Any) -> pl.Trainer:
            made = trainer(*arguments)
            made.callbacks.append(PowerCut())
            return made

        patch.setattr(pretrain, "_trainer", fragile)
        with pytest.raises(RuntimeError, match="power cut"):
            pretrained(small)
    assert list(Path(".checkpoints/pretrain-cpu").glob("*/last.ckpt"))
    assert pretrained(small) == whole


def test_images_are_drawn_once(small: Parameters, monkeypatch) -> None:
    whole = pretrained(small)
    monkeypatch.setattr(pretrain, "synthesise", None)
    assert pretrained(small) == whole


@pytest.mark.usefixtures("no_gpu")
def test_an_absent_accelerator_is_an_error_here(workspace: Path, capsys) -> None:
    assert main(["pretrain", "gpu"]) == 1
    assert capsys.readouterr().err == (
        "error: gpu is unavailable: no CUDA or MPS device found. Name another.\n"
    )

"""Source weights, with a small network and few species."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from benchmark.common import tensor_digests
from benchmark.common.files import read_json
from benchmark.errors.user_error import UserError
from benchmark.machine.accelerators import find
from benchmark.training.model import FineTuner
from provenance import pretrain
from provenance.__main__ import main
from provenance.pretrain import Recipe
from tests.training.test_model import tuner

pytestmark = pytest.mark.usefixtures("small_network")

CONTENT = {
    "seed": 7, "species": 3, "images_per_species": 8, "drawn_size": 48, "image_sizes": (32, 48),
    "batch_size": 8, "epochs": 3, "learning_rate": 0.001, "precision": "bf16-mixed",
}  # fmt: skip
RECIPE = Recipe.model_validate(CONTENT)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder for weights, caches and checkpoints."""
    monkeypatch.chdir(tmp_path)


def pretrained(recipe: Recipe = RECIPE) -> dict[str, Any]:
    pretrain.pretrain(find("cpu"), recipe)
    return read_json(Path("weights/source.json"))


def test_the_card_describes_the_weights() -> None:
    card = pretrained()
    weights = load_file("weights/source.safetensors")
    assert card["digest"] == tensor_digests.state_digest(weights)
    assert card["images_seen"] == 3 * 8 * 3
    assert card["recipe"] | {"seed": card["seed"]} == CONTENT | {"image_sizes": [32, 48]}
    assert card["seed"] == 7
    assert 0 <= card["source_test_accuracy"] <= 1
    assert not [name for name in weights if name.startswith("fc.")]


def test_convolutions_take_two_bytes_and_batch_statistics_stay_exact() -> None:
    pretrained()
    for name, value in load_file("weights/source.safetensors").items():
        expected = torch.float16 if value.ndim == 4 else None
        assert value.dtype == (expected or value.dtype), name
        assert expected or value.dtype in (torch.float32, torch.int64), name


def test_the_weights_can_be_fine_tuned() -> None:
    pretrained()
    weights = load_file("weights/source.safetensors")
    network = tuner(5, weights="source").network
    assert torch.equal(network.conv1.weight, weights["conv1.weight"].float())
    assert network.conv1.weight.dtype == torch.float32


def test_a_last_batch_that_batch_norm_cannot_learn_from_is_refused() -> None:
    with pytest.raises(UserError, match="of 24 training images the last batch has one"):
        pretrained(RECIPE.model_copy(update={"batch_size": 23}))


def test_images_grow_with_the_epochs(monkeypatch) -> None:
    sizes: list[int] = []

    def forward(self: pretrain.SourceLearner, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            sizes.append(images.shape[-1])
        return FineTuner.forward(self, images)

    monkeypatch.setattr(pretrain.SourceLearner, "forward", forward)
    pretrained()
    assert sizes == [32] * 6 + [48] * 3


def test_a_precision_that_the_accelerator_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="no 16-mixed on cpu"):
        pretrained(RECIPE.model_copy(update={"precision": "16-mixed"}))


class PowerCut(pl.Callback):
    """Stops in the second step of an epoch."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("power cut")


def test_interrupted_and_resumed_gives_the_same_weights(monkeypatch) -> None:
    card = pretrained()
    with monkeypatch.context() as patch:
        trainer = pretrain._trainer

        def fragile(*arguments: Any) -> pl.Trainer:
            made = trainer(*arguments)
            made.callbacks.append(PowerCut())
            return made

        patch.setattr(pretrain, "_trainer", fragile)
        with pytest.raises(RuntimeError, match="power cut"):
            pretrained()
    assert list(Path(".checkpoints/pretrain-cpu").glob("*/last.ckpt"))
    assert pretrained() == card


@pytest.mark.usefixtures("no_gpu")
def test_an_absent_accelerator_is_an_error_here(capsys) -> None:
    assert main(["weights", "gpu"]) == 1
    assert capsys.readouterr().err == (
        "error: gpu is unavailable: no CUDA or MPS device found. Name another.\n"
    )

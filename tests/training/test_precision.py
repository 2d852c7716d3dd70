from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmark.common.parameters import ACCELERATORS
from benchmark.errors.user_error import UserError
from benchmark.timing.modes import TrainingStep
from benchmark.training import precision
from benchmark.training.trainer_arguments import trainer_arguments

EXACT, TF32 = ("highest", False), ("high", True)


def setting() -> tuple[str, bool]:
    """Return the current precision of products and convolutions."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Set torch's precision as `prepare` does, for the test."""
    before = setting()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_every_accelerator_has_its_precisions() -> None:
    assert precision.PRECISIONS.keys() == set(ACCELERATORS)


@pytest.mark.parametrize(
    ("name", "refused"),
    [("cpu", "16-mixed"), ("cpu", "tf32"), ("tpu", "bf16-true"), ("xla", "16-mixed")],
)
def test_a_precision_that_would_be_changed_is_refused(name: str, refused: str) -> None:
    with pytest.raises(UserError, match=f"there is no {refused} on {name}"):
        precision.check(name, refused)
    precision.check(name, "32-true")


@pytest.mark.parametrize(("cuda", "supported"), [(True, True), (True, False), (False, True)])
def test_only_newer_cuda_devices_have_tf32(monkeypatch, cuda: bool, supported: bool) -> None:
    """An older device, and MPS, would silently compute in 32 bits."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: supported)
    if cuda and supported:
        return precision.check("gpu", "tf32")
    with pytest.raises(UserError, match=r"no tf32 on gpu\. Choose from 32-true, bf16-mixed"):
        precision.check("gpu", "tf32")


def test_tf32_ends_with_its_block() -> None:
    with precision.tf32(True):
        assert setting() == TF32
    with precision.tf32(False):
        assert setting() == EXACT
    with pytest.raises(ValueError, match="a step"), precision.tf32(True):
        raise ValueError("a step")
    assert setting() == EXACT


class PrecisionRecorder(pl.LightningModule):
    """Records the precision of each part of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.seen: dict[str, tuple[str, bool]] = {}

    def on_after_batch_transfer(self, batch: Tensor, index: int) -> Tensor:
        self.seen["images"] = setting()
        return batch

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        self.seen["forward"] = setting()
        loss = self.layer(batch).sum()
        loss.register_hook(lambda gradient: self.seen.update(backward=setting()))
        return loss

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.seen["validation"] = setting()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


def test_lightning_trains_in_tf32_and_makes_images_without(tmp_path) -> None:
    module, batches = PrecisionRecorder(), DataLoader(torch.ones(3, 2), batch_size=3)
    arguments: dict[str, Any] = trainer_arguments("cpu", "tf32")
    trainer = pl.Trainer(
        **arguments, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, batches, batches)
    assert module.seen == {"images": EXACT, "forward": TF32, "backward": TF32, "validation": TF32}
    assert setting() == EXACT


@pytest.mark.parametrize(("name", "expected"), [("32-true", EXACT), ("tf32", TF32)])
def test_a_plain_step_is_as_exact_as_the_trainers(name: str, expected: tuple[str, bool]) -> None:
    seen = []
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: seen.append(setting()))
    layer.weight.register_hook(lambda gradient: seen.append(setting()))
    TrainingStep("cpu", layer, torch.optim.Adam(layer.parameters()), name)(
        torch.ones(3, 2), torch.zeros(3, dtype=torch.int64)
    )
    assert seen == [expected, expected]
    assert setting() == EXACT

"""A DataModule's journal: every call of every public method, in order, extra ones included."""

import inspect
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor, nn

Call = tuple[Any, ...]
"""The name of a method and those of its arguments that are texts or whole numbers."""

NOT_HOOKS = {"load_from_checkpoint", "remove_ignored_hparams", "save_hyperparameters"}
HOOKS = sorted(
    name
    for name, _ in inspect.getmembers(LightningDataModule, inspect.isfunction)
    if not name.startswith("_") and name not in NOT_HOOKS
)


def journalled(kind: type[LightningDataModule], journal: list[Call]) -> type[Any]:
    """`kind` with each of its hooks noting its calls in `journal` before it does its work."""
    return type(kind.__name__, (kind,), {name: _noted(kind, name, journal) for name in HOOKS})


def _noted(kind: type[LightningDataModule], name: str, journal: list[Call]) -> Callable[..., Any]:
    hook = getattr(kind, name)

    # Not functools.wraps: Lightning looks through it and would find the hook not overridden.
    def noted(self: LightningDataModule, *arguments: Any, **named: Any) -> Any:
        plain = [value for value in (*arguments, *named.values()) if isinstance(value, (str, int))]
        journal.append((name, *(getattr(value, "value", value) for value in plain)))
        return hook(self, *arguments, **named)

    return noted


class Mean(pl.LightningModule):
    """Three logits from an image's mean colour: the least that can be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.mean((2, 3)))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, *_: Any) -> None: ...

    def test_step(self, *_: Any) -> None: ...

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

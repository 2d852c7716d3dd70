"""Train the source weights: ResNet50 from random weights, on species outside the bundled dataset.

This is not a stage of the pipeline, since it takes hours. DVC pins its result like the dataset. The
images are drawn once and stored in `.cache/`. An interrupted training resumes after its last
complete epoch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resize

from benchmark.common import code, digests, tensor_digests
from benchmark.common.files import new_directory, write_json
from benchmark.common.parameters import (
    DEFAULT_ARCHITECTURE,
    ONE_DEVICE,
    SOURCE_WEIGHTS,
    ModelParameters,
    Precision,
    Section,
)
from benchmark.data.datamodule import ImageDataModule
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators
from benchmark.machine.accelerators import Accelerator
from benchmark.training import precision
from benchmark.training.callbacks import XLAGraphs
from benchmark.training.checkpoint_dir import checkpoint_dir
from benchmark.training.fit import norm_layer, silence_lightning
from benchmark.training.history import EpochPrinter, History, RequireFinite
from benchmark.training.model import FineTuner
from benchmark.training.networks import check_batch_norm
from benchmark.training.trainer_arguments import trainer_arguments
from provenance.synthetic import sources, synthesise

LABEL_SMOOTHING = 0.1
WEIGHT_DECAY = 0.05


class Recipe(Section):
    """Parameters of the source weights' training and images."""

    seed: int = 7
    """Seed of images, weights and order."""
    species: int = 200
    """Number of drawn species, none of them in the bundled dataset."""
    images_per_species: int = 150
    """Training images of each species; validation and test have 5 more each."""
    drawn_size: int = 128
    """Height and width of the drawn images, in pixels."""
    image_sizes: tuple[int, ...] = (32, 48, 64)
    """Height and width of the network's input in pixels, each for an equal part of the epochs; the
    last one is used for evaluation."""
    batch_size: int = 128
    epochs: int = 21
    learning_rate: float = 0.001
    """Peak of AdamW's learning rate."""
    precision: Precision = "bf16-mixed"


RECIPE = Recipe()
"""The recipe of the weights that weights.dvc pins."""


class SourceImages(ImageDataModule):
    """Images with larger crops than in fine-tuning: random weights need complete wings to learn."""

    crop_area = (0.35, 1.0)


class SourceLearner(FineTuner):
    """ResNet50 with the source recipe: AdamW, OneCycleLR and label smoothing.

    Image sizes grow with the epochs, since an image of 32 px costs about a third of one of 64 px.
    """

    def __init__(self, recipe: Recipe, norm: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> None:
        options = ModelParameters(
            weights="random", freeze_backbone=False, channels_last=True, compile=False
        )
        super().__init__(
            recipe.species, recipe.seed, options, recipe.learning_rate, norm_layer=norm
        )
        self.recipe = recipe

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the cross-entropy with smoothed labels, a scalar."""
        images, labels = batch
        logits = self(resize(images, [self._image_size()])).float()
        return nn.functional.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)

    def _image_size(self) -> int:
        """Return the image size of the current epoch, in pixels."""
        sizes = self.recipe.image_sizes
        return sizes[self.current_epoch * len(sizes) // self.recipe.epochs]

    def configure_optimizers(self) -> Any:
        """Return AdamW and OneCycleLR: the rate rises for 30 % of the steps, then falls."""
        optimizer = torch.optim.AdamW(
            self.parameters(), self.learning_rate, weight_decay=WEIGHT_DECAY
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def pretrain(accelerator: Accelerator, recipe: Recipe) -> None:
    """Train, and write weights/source.safetensors and its card, source.json.

    Raises:
        UserError: the accelerator is unavailable or does not support the precision, or as in
            `check_batch_norm`.
    """
    if not accelerator.available:
        raise UserError(
            f"{accelerator.label} is unavailable: {accelerator.reason}.", "Name another."
        )
    precision.check(accelerator.name, recipe.precision)
    images = recipe.species * recipe.images_per_species
    check_batch_norm(DEFAULT_ARCHITECTURE, images, recipe.batch_size, min(recipe.image_sizes))
    accelerators.prepare(accelerator.name)
    silence_lightning()
    name = f"pretrain-{accelerator.name}"
    with checkpoint_dir(name, _key(recipe), SOURCE_WEIGHTS) as directory:
        pl.seed_everything(recipe.seed, verbose=False)
        data, history = _data(recipe), History()
        model = SourceLearner(recipe, norm_layer(accelerator.name, ONE_DEVICE))
        trainer = _trainer(accelerator, recipe, history, directory)
        last = directory / "last.ckpt"
        trainer.fit(model, datamodule=data, ckpt_path=last if last.exists() else None)
        test = trainer.test(model, data, verbose=False)[0]
        _write(model, _card(recipe, history, test))


def _key(recipe: Recipe) -> str:
    """Return a digest of all inputs, which identifies checkpoints that this run may resume."""
    place = str(Path.cwd())  # Lightning stores absolute paths in its checkpoints
    return digests.json_digest([recipe.model_dump(), code.digest(__name__), place])[:32]


def _data(recipe: Recipe) -> ImageDataModule:
    """Return the DataModule of the source images; draw the images if they do not exist."""
    collection = sources(recipe.species, recipe.images_per_species, recipe.drawn_size)
    root = Path(".cache/source") / digests.text_digest(repr(collection), str(recipe.seed))[:16]
    if not root.exists():
        synthesise(root, recipe.seed, collection)
    return SourceImages(str(root), recipe.image_sizes[-1], recipe.batch_size, seed=recipe.seed)


def _trainer(
    accelerator: Accelerator, recipe: Recipe, history: History, directory: Path
) -> pl.Trainer:
    last = ModelCheckpoint(
        directory, "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    printer = EpochPrinter(accelerator.label, history)
    extras = [XLAGraphs(accelerator.name)] if accelerator.name in ("tpu", "xla") else []
    return pl.Trainer(
        **trainer_arguments(accelerator.name, recipe.precision),
        max_epochs=recipe.epochs,
        deterministic=True,
        callbacks=[history, printer, RequireFinite(history), last, *extras],
        logger=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def _card(recipe: Recipe, history: History, test: Mapping[str, float]) -> dict[str, Any]:
    """Return the description of the weights for source.json."""
    images = recipe.species * recipe.images_per_species
    return {
        "content": "torchvision ResNet50 without its head; convolutions in 16 bits",
        "licence": "Apache-2.0",
        "source": f"{recipe.species} drawn species that are none of the bundled dataset's",
        "recipe": recipe.model_dump(mode="json", exclude={"seed"}),
        "optimizer": f"AdamW, weight decay {WEIGHT_DECAY}, one cycle",
        "label_smoothing": LABEL_SMOOTHING,
        "crop_area": SourceImages.crop_area,
        "seed": recipe.seed,
        "images_drawn": images,
        "images_seen": images * len(history.epochs),
        "source_test_accuracy": round(test["test/accuracy"], 6),
        "source_val_accuracy": round(history.epochs[-1][3], 6),
    }


def _write(model: SourceLearner, card: dict[str, Any]) -> None:
    """Replace the weights directory: the network without its head, and its card with a digest."""
    state = {name: _compressed(value) for name, value in model.network.state_dict().items()}
    backbone = {name: value for name, value in state.items() if not name.startswith("fc.")}
    with new_directory(SOURCE_WEIGHTS.parent) as directory:
        weights = directory / SOURCE_WEIGHTS.name
        save_file(backbone, weights)
        write_json(
            weights.with_suffix(".json"), card | {"digest": tensor_digests.state_digest(backbone)}
        )


def _compressed(value: Tensor) -> Tensor:
    """Return a tensor on the CPU; convolutions (nearly all bytes) as float16, others unchanged."""
    value = value.cpu().contiguous()
    return value.half() if value.ndim == 4 else value

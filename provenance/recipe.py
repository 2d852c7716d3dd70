"""Model of provenance/recipe.yaml, the recipe of the source weights."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from benchmark.common.parameters import Precision, Section, Seed
from benchmark.common.results import complaint
from benchmark.errors.user_error import UserError

RECIPE_FILE = Path(__file__).with_name("recipe.yaml")


class Recipe(Section):
    """Parameters of the source weights' training and images."""

    seed: Seed
    """Seed of images, weights and order."""

    species: int = Field(ge=2)
    """Number of drawn species, none of them in the bundled dataset."""
    images_per_species: int = Field(ge=1)
    """Training images of each species; validation and test have 5 more each."""
    drawn_size: int = Field(ge=48)
    """Height and width of the drawn images, in pixels."""
    image_sizes: Annotated[tuple[Annotated[int, Field(ge=32)], ...], Field(min_length=1)]
    """Height and width of the network's input in pixels, each for an equal part of the epochs; the
    last one is used for evaluation."""
    batch_size: int = Field(ge=2)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    """Peak of AdamW's learning rate."""
    precision: Precision


def load_recipe(path: Path = RECIPE_FILE) -> Recipe:
    """Read and validate the recipe in `path`.

    Raises:
        UserError: a key or value is wrong.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise UserError(
            f"{path}: {complaint(error)}.", "provenance/recipe.py describes each key."
        ) from None

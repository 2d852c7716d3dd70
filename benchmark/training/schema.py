"""The results that the training and replay stages write."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from benchmark.common.results import ResultModel, Unavailable


class Metrics(ResultModel):
    """Metrics of the best epoch on one split."""

    model_config = ConfigDict(allow_inf_nan=False)

    loss: float
    """Mean cross-entropy."""
    accuracy: float
    """Share of images whose class is the most probable one."""
    top5: float
    """Share of images whose class is among the five most probable."""


class Fingerprints(ResultModel):
    """Digests of what a training depends on, taken when it starts."""

    parameters: str
    """Digest of the parameters that change the results."""
    code: str
    """Digest of the code that the training runs."""
    dataset: str
    """DVC's md5 of the dataset."""
    weights: str
    """sha256 of the file of weights, or the name of weights without a file."""
    environment: str
    """Digest of the environment stage's result."""


class FirstSteps(ResultModel):
    """The weights after the first steps, which a replay must reproduce."""

    steps: int
    """Number of steps."""
    weights: str
    """sha256 of the weights after these steps."""


class Digests(ResultModel):
    """sha256 of the weights and of the model's inputs."""

    weights: str
    """Digest of the best epoch's weights."""
    initial_weights: str
    """Digest of the weights before the first step."""
    order: str
    """Digest of the order of the samples over all epochs."""
    pixels: str
    """Digest of the first batches' images, labels, windows and flips."""
    first_steps: FirstSteps
    """Digest of the weights after the first steps."""
    order_by_epoch: tuple[str, ...]
    """For each epoch: digest of the order of samples until its end."""


class Training(ResultModel):
    """One training; a repetition on the same machine writes the same bytes."""

    status: Literal["ok"] = "ok"
    """`ok`; the result of an absent accelerator has `unavailable`."""
    accelerator: str
    """Name of the accelerator in reports."""
    device: str
    """The name of the device, as its driver or the system gives it."""
    test: Metrics
    """Metrics on the test split."""
    val: Metrics
    """Metrics on the validation split."""
    epochs: int
    """Number of epochs that were trained."""
    best_epoch: int = Field(ge=1)
    """The epoch of the lowest validation loss, from 1."""
    steps: int
    """Optimizer steps."""
    classes: int
    """Number of classes."""
    digests: Digests
    """Digests of the weights and of the model's inputs."""
    inputs: Fingerprints
    """Digests of what the training depends on."""


class Timing(ResultModel):
    """Wall times of a training, in seconds."""

    status: Literal["ok"] = "ok"
    """`ok`; the result of an absent accelerator has `unavailable`."""
    accelerator: str
    """Name of the accelerator in reports."""
    total_seconds: float
    """Sum of the times below."""
    features_seconds: float
    """Time of computing a frozen backbone's features; 0 without them."""
    epoch_seconds: tuple[float, ...]
    """Time of each epoch, with its validation and checkpoints."""
    test_seconds: float
    """Time of the best epoch's test."""


class Replay(ResultModel):
    """A training's first steps, repeated in a fresh process."""

    status: Literal["ok"] = "ok"
    """`ok`; the result of an absent accelerator has `unavailable`."""
    accelerator: str
    """Name of the accelerator in reports."""
    steps: int
    """Number of steps that were repeated."""
    bitwise: bool
    """Whether losses and weights are equal bit for bit."""
    first_different_step: int | None = None
    """First step, from 1, whose loss or weights differ; null if none does."""
    first_different: str | None = None
    """The first difference in that step: `loss`, or the name of a tensor in the network's order."""

    def __str__(self) -> str:
        if self.bitwise:
            return f"{self.steps} steps, equal bit for bit"
        name = f" ({self.first_different})" if self.first_different else ""
        return f"first difference at step {self.first_different_step} of {self.steps}{name}"


TRAINING: TypeAdapter[Training | Unavailable] = TypeAdapter(
    Annotated[Training | Unavailable, Field(discriminator="status")]
)
TIMING: TypeAdapter[Timing | Unavailable] = TypeAdapter(
    Annotated[Timing | Unavailable, Field(discriminator="status")]
)
REPLAY: TypeAdapter[Replay | Unavailable] = TypeAdapter(
    Annotated[Replay | Unavailable, Field(discriminator="status")]
)

"""params.yaml, validated once: the rest of the package trusts what it is given."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from benchmark.common import yaml_file
from benchmark.common.modes import ModeName
from benchmark.common.results import OWN
from benchmark.errors.user_error import UserError

AcceleratorName = Literal["cpu", "gpu", "tpu", "xla"]
ACCELERATORS: tuple[str, ...] = get_args(AcceleratorName)
Precision = Literal["32-true", "tf32", "bf16-mixed", "bf16-true", "16-mixed"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
LoggerName = Literal["none", "csv", "tensorboard", "dvclive"]
AdamName = Literal["auto", "fused", "foreach", "for-loop"]
WaitPolicy = Literal["auto", "active", "passive"]
PARAMETERS_FILE = Path("params.yaml")
SHOWN = 80
"""Characters of a wrong value that a message shows."""
SOURCE_WEIGHTS = Path("weights/source.safetensors")
"""Pinned by weights.dvc; its card lies beside it as source.json."""


class Section(BaseModel):
    """A part of params.yaml; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataParameters(Section):
    """The images and how they are batched."""

    root: str = Field(min_length=1)
    """Directory that holds train/, val/ and test/, each with one folder per class."""
    image_size: int = Field(ge=32, le=1024)
    """Height and width of what the model sees, in pixels."""
    batch_size: int = Field(ge=1)
    """Samples per step and process."""
    num_workers: int = Field(ge=0)
    """Loader processes; 0 loads in the training process. Results do not depend on it."""
    cache_gib: float = Field(ge=0)
    """Largest decode cache in GiB; a larger dataset is decoded anew in each epoch."""


class ModelParameters(Section):
    """The network and where its weights come from."""

    weights: str = Field(min_length=1)
    """`source` (pinned beside the dataset), `random`, `IMAGENET1K_V2` (torchvision's), or the
    path of a file, see docs/weights.md."""
    freeze_backbone: bool
    """Train the head alone, on features of un-augmented images that are computed once."""
    channels_last: bool
    """Store activations as NHWC; another summation order, so other bits."""
    compile: bool
    """Run the network through torch.compile; other kernels, so other bits."""

    @field_validator("compile")
    @classmethod
    def _a_frozen_backbone_runs_once(cls, compiled: bool, others: ValidationInfo) -> bool:
        if compiled and others.data.get("freeze_backbone"):
            raise ValueError("is of no use with freeze_backbone: nothing but the head is trained")
        return compiled

    @property
    def weights_file(self) -> Path | None:
        """The file that `weights` names; None for random and for torchvision's weights."""
        if self.weights in ("random", "IMAGENET1K_V2"):
            return None
        return SOURCE_WEIGHTS if self.weights == "source" else Path(self.weights)


class TrainParameters(Section):
    """The recipe."""

    learning_rate: float = Field(gt=0)
    """Adam's, fixed over the run."""
    max_epochs: int = Field(ge=1)
    patience: int = Field(ge=1)
    """Epochs without a lower validation loss after which training stops."""
    precision: Precision
    unfreeze_epoch: int = Field(ge=0)
    """Epoch at which the backbone begins to train; before, only the head does."""
    backbone_learning_rate: float = Field(gt=0)
    """Adam's for the backbone, if it begins after epoch 0; else it shares the head's."""
    adam: AdamName
    """Torch's implementation, each with other bits; `auto` is the fastest that the accelerator has:
    `fused`, one kernel over all weights, and `for-loop` on XLA, which has no other."""
    logger: LoggerName
    """Lightning's logger for the losses and metrics of each epoch, in logs/; results do not depend
    on it, and where speed is measured there is none."""


class TrainerParameters(Section):
    """On how many devices a training runs, in Lightning's words."""

    devices: int = Field(ge=1)
    """Of each machine; a process each, which take `data.batch_size` samples a step each."""
    num_nodes: int = Field(ge=1)
    """Machines; with more than one a launcher starts the processes on each."""
    sync_batchnorm: bool
    """Batch norm over the samples of all devices, not over each device's own."""

    @property
    def processes(self) -> int:
        """Devices of all machines."""
        return self.devices * self.num_nodes


ONE_DEVICE = TrainerParameters(devices=1, num_nodes=1, sync_batchnorm=False)


class SweepParameters(Section):
    """Values to try besides the run's own, every combination; an empty list keeps the run's."""

    batch_size: tuple[Annotated[int, Field(ge=1)], ...] = ()
    precision: tuple[Precision, ...] = ()
    channels_last: tuple[bool, ...] = ()
    compile: tuple[bool, ...] = ()
    num_workers: tuple[Annotated[int, Field(ge=0)], ...] = ()
    deterministic: tuple[bool, ...] = ()
    devices: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Of this machine, training together; the run's own rate is always that of one."""


class ThroughputParameters(Section):
    """How speed is measured."""

    deterministic: bool
    """Torch uses deterministic kernels alone, as in training; what they cost is the mode
    `nondeterministic`."""
    modes: tuple[ModeName, ...]
    """What is measured; `trainer` must be among them."""
    repeats: int = Field(ge=2)
    """Least number of independent processes; each is one sample."""
    rounds: int = Field(ge=2)
    """Blocks of each mode in a process; they alternate. One more round first does not count."""
    width: float = Field(gt=0, lt=1)
    """Further processes are measured until the intervals of the Trainer's rate and of its ratios
    are this part of their estimates wide."""
    budget_seconds: float = Field(ge=0)
    """No further process is begun that would end later than this after the first one began."""
    block_seconds: float = Field(gt=0)
    """About the length of a block; it holds as many warm steps as that takes, and one at least."""
    warmup_steps: int = Field(ge=4)
    """Most steps of a warm-up, which ends when step times are steady; a loader's workers add as
    many as they had batches ready."""
    sweep: SweepParameters

    @field_validator("modes")
    @classmethod
    def _trainer_is_measured(cls, names: tuple[str, ...]) -> Any:
        if "trainer" not in names:
            raise ValueError("lacks trainer, with which the others are compared")
        return names

    @field_validator("modes")
    @classmethod
    def _determinism_has_a_cost(cls, names: tuple[str, ...], others: ValidationInfo) -> Any:
        if "nondeterministic" in names and not others.data.get("deterministic", True):
            raise ValueError("has nondeterministic, but deterministic is false: all modes are so")
        return names


class ReportParameters(Section):
    """What the report asks of the results."""

    target_accuracy: float = Field(gt=0, lt=1)
    """Validation accuracy to which time is counted."""
    margin: float = Field(gt=0, lt=1)
    """Test accuracies that differ by less than this are called equal, if the images show it."""
    price_per_hour: dict[AcceleratorName, Annotated[float, Field(gt=0)]]
    """Of a machine with the accelerator; gives the cost of a million images and of the training."""
    currency: str = Field(min_length=1)
    """Of the prices."""


class Parameters(Section):
    """All of params.yaml."""

    seed: Seed
    seeds: tuple[Seed, ...]
    """Further seeds, each of which costs a whole training on each accelerator."""
    accelerators: Annotated[tuple[AcceleratorName, ...], Field(min_length=1)]
    omp_wait_policy: WaitPolicy
    """How the processors' threads wait for one another: `passive` leaves other work its share,
    `active` is for a machine of one's own, `auto` looks for other work. Results do not depend on
    it, and the variable OMP_WAIT_POLICY counts first."""
    controls: tuple[AcceleratorName, ...]
    """Accelerators that train once more, from random weights; each costs a whole training."""
    data: DataParameters
    model: ModelParameters
    train: TrainParameters
    trainer: TrainerParameters
    throughput: ThroughputParameters
    report: ReportParameters

    def of_training(self, name: str) -> "Parameters":
        """Those of the training `name`: "own", or a further seed in place of the run's own.

        Raises:
            UserError: it is none of `seeds`: which runs there are is fixed before the first.
        """
        if name == OWN:
            return self
        if name not in map(str, self.seeds):
            raise UserError(
                f"{PARAMETERS_FILE}: seeds does not hold {name}.",
                "Add it there: the report shows every run, not those that somebody chose.",
            )
        return self.model_copy(update={"seed": int(name)})

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...], others: ValidationInfo) -> Any:
        if len({*seeds, others.data.get("seed")}) != len(seeds) + 1:
            raise ValueError("repeats a seed, or the run's own, which is trained anyway")
        return seeds

    @field_validator("accelerators", "controls")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("names an accelerator twice")
        return names

    @field_validator("controls")
    @classmethod
    def _controls_have_a_run(cls, names: tuple[str, ...], others: ValidationInfo) -> Any:
        if not set(names) <= set(others.data.get("accelerators", names)):
            raise ValueError("names an accelerator that is not in accelerators")
        return names

    @field_validator("train")
    @classmethod
    def _the_backbone_unfreezes(cls, train: TrainParameters, others: ValidationInfo) -> Any:
        model = others.data.get("model")
        if train.unfreeze_epoch and model and model.freeze_backbone:
            raise ValueError("unfreeze_epoch is set, but model.freeze_backbone keeps it frozen")
        if train.unfreeze_epoch >= train.max_epochs:
            raise ValueError("unfreeze_epoch is not below max_epochs")
        return train


def load_parameters(path: Path = PARAMETERS_FILE) -> Parameters:
    """Read and validate `path`.

    Raises:
        UserError: the file is missing, is not YAML, or holds a value that is not allowed.
    """
    return parse_parameters(_read_yaml(path), str(path))


def parse_parameters(content: Any, source: str) -> Parameters:
    """Validate `content`, which came from `source` (named in errors)."""
    try:
        return Parameters.model_validate(content)
    except ValidationError as error:
        complaints = "; ".join(_complaint(dict(detail)) for detail in error.errors())
        raise UserError(
            f"{source}: {complaints}.", "docs/parameters.md lists what each key may hold."
        ) from None


def _suggestion(place: Sequence[Any]) -> str:
    """The key that was meant, if one is like what stands at `place`."""
    section: Any = Parameters
    for part in place[:-1]:
        section = section.model_fields[str(part)].annotation
    meant = get_close_matches(str(place[-1]), section.model_fields, n=1)
    return f"; did you mean {meant[0]}?" if meant else ""


def _read_yaml(path: Path) -> Any:
    try:
        return yaml_file.read(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is not here.", "Run from the repository's top directory, which holds it."
        ) from None


def _complaint(detail: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"]) or "the file"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{place} is missing"
    if detail["type"] == "extra_forbidden":
        return f"there is no {place}{_suggestion(detail['loc'])}"
    if isinstance(detail["input"], dict):
        return f"{place}: {message[0].lower()}{message[1:]}"
    return f"{place} = {_shown(detail['input'])}: {message[0].lower()}{message[1:]}"


def _shown(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write more than 4,300 digits
        return "a number of very many digits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."

"""Model of params.yaml. The file is validated once; other code relies on valid parameters."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from benchmark.common.files import read_yaml
from benchmark.common.modes import ModeName
from benchmark.common.results import OWN
from benchmark.errors.user_error import UserError

AcceleratorName = Literal["cpu", "gpu", "tpu", "xla"]
ACCELERATORS: tuple[str, ...] = get_args(AcceleratorName)
Precision = Literal["32-true", "tf32", "bf16-mixed", "bf16-true", "16-mixed"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
PathText = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
LoggerName = Literal["none", "csv", "tensorboard", "dvclive"]
AdamName = Literal["auto", "fused", "foreach", "for-loop"]
WaitPolicy = Literal["auto", "active", "passive"]
COMPILE_MODES = ("default", "reduce-overhead")
PARAMETERS_FILE = Path("params.yaml")
LONGEST_VALUE = 80
"""Largest number of characters of a wrong value in a message; a longer value is cut."""
DEFAULT_ARCHITECTURE = "resnet50"
"""The network of older params.yaml and results, which do not name one."""
TIMM = "timm:"
"""Prefix of the names of timm's networks in `model.architecture`."""
LARGEST_IMAGE = 1024
"""Largest height and width of the model's input, in pixels."""
TORCHVISION_WEIGHTS = re.compile(r"DEFAULT|IMAGENET1K_\w+")
"""Names in torchvision's enumerations of weights."""
SOURCE_WEIGHTS = Path("weights/source.safetensors")
"""The bundled weights: weights.dvc pins them, and source.json next to them describes them."""


T = TypeVar("T")
Values = Annotated[tuple[T, ...], Field(strict=False)]
"""A list in YAML; its items are strict."""


def _compile_mode(value: Any) -> Any:
    """Return a value of `model.compile`; pydantic itself would take 0 for false."""
    if value is not False and value not in COMPILE_MODES:
        raise ValueError("must be false, default (formerly true) or reduce-overhead")
    return value


CompileMode = Annotated[
    Literal[False, "default", "reduce-overhead"], BeforeValidator(_compile_mode)
]


class Section(BaseModel):
    """A section of params.yaml. Unknown keys and values of another type are errors.

    A boolean is not an integer, a float not an integer, and a number is finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataParameters(Section):
    """Parameters of the images and batches."""

    root: PathText
    """Directory with train/, val/ and test/, each with one folder per class."""
    image_size: int = Field(ge=32, le=LARGEST_IMAGE)
    """Height and width of the model's input, in pixels."""
    batch_size: int = Field(ge=1)
    """Samples per step and process."""
    num_workers: int = Field(ge=0)
    """Loader processes; 0 loads in the training process. Results do not depend on it."""
    cache_gib: float = Field(ge=0)
    """Largest decode cache in GiB; a larger dataset is decoded again in each epoch."""


class ModelParameters(Section):
    """Parameters of the network and of its initial weights."""

    architecture: Annotated[str, Field(pattern=rf"^({TIMM})?[\w.]+$")] = DEFAULT_ARCHITECTURE
    """Name of one of torchvision's classifiers, or `timm:` and the name of one of timm's
    (docs/networks.md)."""
    weights: PathText
    """`source` (pinned like the dataset; resnet50 only), `random`, `DEFAULT`, `IMAGENET1K_V1` or
    another of torchvision's names for weights of the network, or the path of a file
    (docs/weights.md)."""
    freeze_backbone: bool
    """Train only the head. Features are computed once, from images without augmentation."""
    channels_last: bool
    """Store activations as NHWC. Sums have another order, so results have other bits."""
    compile: CompileMode
    """Mode of torch.compile. Kernels differ, so results have other bits. `reduce-overhead` records
    CUDA graphs, which one NVIDIA GPU replays without waiting for the host."""

    @field_validator("compile")
    @classmethod
    def _a_frozen_backbone_runs_once(cls, mode: CompileMode, info: ValidationInfo) -> Any:
        if mode and info.data.get("freeze_backbone"):
            raise ValueError("has no effect with freeze_backbone, which trains only the head")
        return mode

    @field_validator("weights")
    @classmethod
    def _are_of_the_network(cls, weights: str, info: ValidationInfo) -> str:
        name = info.data.get("architecture", DEFAULT_ARCHITECTURE)
        download = "" if name.startswith(TIMM) else ", DEFAULT (a download)"
        if weights == "source" and name != DEFAULT_ARCHITECTURE:
            raise ValueError(
                f"has weights of {DEFAULT_ARCHITECTURE}, not of {name}; choose random{download} or "
                "a file"
            )
        if name.startswith(TIMM) and TORCHVISION_WEIGHTS.fullmatch(weights):
            raise ValueError(
                "is a name of torchvision's weights, and timm does not check a hash of its own; "
                "choose random or a file"
            )
        return weights

    @property
    def weights_file(self) -> Path | None:
        """Path of the file with the weights; None for random and for torchvision's weights."""
        if self.weights == "random" or TORCHVISION_WEIGHTS.fullmatch(self.weights):
            return None
        return SOURCE_WEIGHTS if self.weights == "source" else Path(self.weights)


class TrainParameters(Section):
    """The training recipe."""

    learning_rate: float = Field(gt=0)
    """Adam's learning rate, constant during the training."""
    max_epochs: int = Field(ge=1)
    patience: int = Field(ge=1)
    """Number of epochs without a lower validation loss after which the training stops."""
    precision: Precision
    unfreeze_epoch: int = Field(ge=0)
    """First epoch that trains the backbone too; earlier ones train only the head."""
    backbone_learning_rate: float = Field(gt=0)
    """Adam's learning rate for the backbone if unfreeze_epoch > 0; else learning_rate applies."""
    adam: AdamName
    """Implementation of Adam in torch; results of each have other bits. `auto` is the accelerator's
    fastest one: `fused` (one kernel for all weights), or on XLA `for-loop`, its only one."""
    logger: LoggerName
    """Lightning's logger for the losses and metrics of each epoch, in logs/. Results do not depend
    on it; speed is measured without a logger."""


class TrainerParameters(Section):
    """Devices of a training. Names are those of Lightning's Trainer."""

    devices: int = Field(ge=1)
    """Devices per machine. Each has one process, which takes `data.batch_size` samples a step."""
    num_nodes: int = Field(ge=1)
    """Number of machines; if more than one, a launcher must start the processes on each."""
    sync_batchnorm: bool
    """Normalise batches over the samples of all devices, not of each device separately."""

    @property
    def processes(self) -> int:
        """Number of processes, one for each device of all machines."""
        return self.devices * self.num_nodes


ONE_DEVICE = TrainerParameters(devices=1, num_nodes=1, sync_batchnorm=False)


class SweepParameters(Section):
    """Values whose combinations are measured too; an empty list keeps the run's value."""

    batch_size: Values[Annotated[int, Field(ge=1)]] = ()
    precision: Values[Precision] = ()
    channels_last: Values[bool] = ()
    compile: Values[CompileMode] = ()
    num_workers: Values[Annotated[int, Field(ge=0)]] = ()
    deterministic: Values[bool] = ()
    devices: Values[Annotated[int, Field(ge=1)]] = ()
    """Numbers of this machine's devices that train together; the base value is one device."""


class ThroughputParameters(Section):
    """Parameters of the speed measurement."""

    deterministic: bool
    """Use only deterministic kernels, as in training; the mode `nondeterministic` measures their
    cost."""
    modes: Values[ModeName]
    """Modes to measure; `trainer` must be among them."""
    repeats: int = Field(ge=2)
    """Smallest number of independent processes; each gives one sample."""
    rounds: int = Field(ge=2)
    """Blocks of each mode in a process. Modes alternate; a first, extra round does not count."""
    width: float = Field(gt=0, lt=1)
    """Target width of the intervals of the Trainer's rate and ratios, as a share of the estimates:
    more processes are measured until no interval is wider."""
    budget_seconds: float = Field(ge=0)
    """Time limit of the measurement: no process starts that would end later."""
    curve_seconds: float = Field(ge=0)
    """Time limit of the search for the fastest batch size: no larger batch is tried that would take
    longer. 0 switches it off."""
    block_seconds: float = Field(gt=0)
    """Approximate length of a block: it has as many steps as fit, and at least one."""
    warmup_steps: int = Field(ge=4)
    """Largest number of warm-up steps, plus the batches that workers have prefetched. The warm-up
    ends earlier if step times are steady."""
    sweep: SweepParameters

    @field_validator("modes")
    @classmethod
    def _trainer_is_measured(cls, names: tuple[str, ...]) -> Any:
        if "trainer" not in names:
            raise ValueError("lacks trainer, with which the other modes are compared")
        return names

    @field_validator("modes")
    @classmethod
    def _determinism_has_a_cost(cls, names: tuple[str, ...], info: ValidationInfo) -> Any:
        if "nondeterministic" in names and not info.data.get("deterministic", True):
            raise ValueError("has nondeterministic, but deterministic is false for all modes")
        return names


class ReportParameters(Section):
    """Parameters of the report; they do not change a measurement."""

    target_accuracy: float = Field(gt=0, lt=1)
    """Validation accuracy; the report gives the time to reach it."""
    margin: float = Field(gt=0, lt=1)
    """Test accuracies are called equal if their difference is shown to be smaller than this."""
    price_per_hour: dict[AcceleratorName, Annotated[float, Field(gt=0)]]
    """Price per hour of a machine with each accelerator, for the cost of a million images."""
    currency: str = Field(min_length=1)
    """Currency of the prices."""


class Parameters(Section):
    """The content of params.yaml."""

    seed: Seed
    seeds: Values[Seed]
    """More seeds; each costs a complete training on each accelerator."""
    accelerators: Annotated[Values[AcceleratorName], Field(min_length=1)]
    omp_wait_policy: WaitPolicy
    """How OpenMP threads wait for each other: `active` spins (for a machine without other work),
    `passive` sleeps (for a shared machine), `auto` looks for other work. Results do not depend on
    it. The variable OMP_WAIT_POLICY takes precedence."""
    controls: Values[AcceleratorName]
    """Accelerators that also train from random weights; each costs a complete training."""
    data: DataParameters
    model: ModelParameters
    train: TrainParameters
    trainer: TrainerParameters
    throughput: ThroughputParameters
    report: ReportParameters

    def of_training(self, name: str) -> "Parameters":
        """Return the parameters of the training `name`: "own" (this seed), or one of `seeds`.

        Raises:
            UserError: `seeds` does not contain `name`.
        """
        if name == OWN:
            return self
        if name not in map(str, self.seeds):
            raise UserError(
                f"{PARAMETERS_FILE}: seeds does not contain {name}.",
                "Add it there: the report shows every training, not a selection.",
            )
        return self.model_copy(update={"seed": int(name)})

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...], info: ValidationInfo) -> Any:
        if len({*seeds, info.data.get("seed")}) != len(seeds) + 1:
            raise ValueError("repeats a seed, or `seed`, which is trained anyway")
        return seeds

    @field_validator("accelerators", "controls")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("names an accelerator twice")
        return names

    @field_validator("controls")
    @classmethod
    def _controls_have_a_run(cls, names: tuple[str, ...], info: ValidationInfo) -> Any:
        if not set(names) <= set(info.data.get("accelerators", names)):
            raise ValueError("names an accelerator that is not in accelerators")
        return names

    @field_validator("train")
    @classmethod
    def _the_backbone_unfreezes(cls, train: TrainParameters, info: ValidationInfo) -> Any:
        model = info.data.get("model")
        if train.unfreeze_epoch and model and model.freeze_backbone:
            raise ValueError("unfreeze_epoch is set, but model.freeze_backbone keeps it frozen")
        if train.unfreeze_epoch >= train.max_epochs:
            raise ValueError("unfreeze_epoch is not below max_epochs")
        return train


def load_parameters(path: Path = PARAMETERS_FILE) -> Parameters:
    """Read and validate `path`.

    Raises:
        UserError: the file is missing, is not YAML, or contains a wrong key or value.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is not here.", "Run from the repository's top directory."
        ) from None
    return parse_parameters(content, str(path))


def parse_parameters(content: Any, source: str) -> Parameters:
    """Validate the parsed YAML of params.yaml; `source` names the file in messages.

    Raises:
        UserError: all wrong keys and values.
    """
    try:
        return Parameters.model_validate(content)
    except ValidationError as error:
        complaints = "; ".join(_complaint(dict(detail)) for detail in error.errors())
        raise UserError(
            f"{source}: {complaints}.", "docs/parameters.md lists the values of each key."
        ) from None


def _complaint(detail: dict[str, Any]) -> str:
    """Return the message about one of pydantic's errors: the key, the value and the fault."""
    key = ".".join(str(part) for part in detail["loc"]) or "the file"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{key} is missing"
    if detail["type"] == "extra_forbidden":
        *path, unknown = detail["loc"]
        section: Any = Parameters
        for part in path:
            section = section.model_fields[str(part)].annotation
        similar = get_close_matches(str(unknown), section.model_fields, n=1)
        return f"{key} is unknown{f'; did you mean {similar[0]}?' if similar else ''}"
    if isinstance(detail["input"], dict):
        return f"{key}: {message[0].lower()}{message[1:]}"
    return f"{key} = {_quoted(detail['input'])}: {message[0].lower()}{message[1:]}"


def _quoted(value: Any) -> str:
    """Return the `repr` of a value, cut after LONGEST_VALUE characters."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write more than 4,300 digits
        return "a number with very many digits"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."

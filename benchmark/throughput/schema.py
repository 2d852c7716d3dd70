"""What the throughput stage and its measuring processes write."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from benchmark.common.results import Result, Unavailable
from benchmark.common.statistics import Interval


class Block(Result):
    """Consecutive steps of one mode between two synchronised readings of the clock."""

    seconds: float
    """Wall time."""
    compilations: int
    """Graphs that were compiled meanwhile."""


class WarmupSummary(Result):
    """How a mode became warm."""

    steps: int
    """Number of steps."""
    steady: bool
    """Whether the last steps compiled nothing and took about the same time."""


class EnergyReading(Result):
    """Energy in all of the Trainer's blocks, or why it is not known."""

    joules: float | None = None
    """By the GPU's counter (NVML) or the processor's (RAPL)."""
    reason: str | None = None
    """Why there is no counter."""


class Memory(Result):
    """Most memory in use."""

    host_bytes: int
    """Of the process, resident."""
    device_bytes: int | None = None
    """Of the device; null if it is not known."""
    device_reason: str | None = None
    """Why it is not known."""


class Peak(Result):
    """The best rate of convolutions and matrix products."""

    flops_per_second: float
    """Floating-point operations per second."""
    of: str
    """The operation that reached it."""


class Overhead(Result):
    """Host time that Lightning adds, measured with a model that computes next to nothing."""

    seconds_per_step: float
    """To each step."""
    seconds_per_epoch: float
    """To each change of epochs."""


class Measurement(Result):
    """Everything that one process measured."""

    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    first_step_seconds: float
    """From the making of the model to the end of the Trainer's first step."""
    compile_seconds: float
    """Compiling graphs before the first block."""
    warmup: dict[str, WarmupSummary]
    """Of each mode."""
    steps: dict[str, int]
    """Steps in a block of each mode."""
    cores: dict[str, int]
    """Processor cores that each loader keeps busy."""
    rounds: tuple[dict[str, Block], ...]
    """In each round a block of each mode, and a second one of the Trainer."""
    step_seconds: tuple[float, ...]
    """Single steps of the Trainer, each synchronised."""
    waited_seconds: dict[str, float]
    """What each plain loop waited for its loader."""
    energy: EnergyReading
    """In the Trainer's blocks."""
    memory: Memory
    """Most memory in use."""
    peak: Peak
    """What the accelerator can do at best."""
    overhead: Overhead
    """What Lightning adds."""
    decoded_per_second: float | None = None
    """Images per second while the decode cache is built."""


class NotMeasured(Result):
    """Why a process measured nothing."""

    status: Literal["refused", "out of memory", "unavailable", "failed"]
    """What kind of reason."""
    reason: str
    """In words."""


class Verdict(Result):
    """Whether a measurement can be relied on."""

    stable: bool
    """Whether it can."""
    reason: str | None = None
    """Why it cannot."""
    advice: str | None = None
    """What to do about it."""

    def __str__(self) -> str:
        return "stable" if self.stable else f"unstable: {self.reason}; {self.advice}"


class Workload(Result):
    """What must be equal for two throughputs to be compared."""

    network: str
    weights: str
    """sha256 of their file, or their name where they have none."""
    freeze_backbone: bool
    channels_last: bool
    compile: bool
    image_size: int
    batch_size: int
    num_workers: int
    cache_gib: float
    precision: str
    fused: bool
    code: str
    """Digest of the code that was measured."""


class ModeRate(Result):
    """The speed of one mode."""

    images_per_second: Interval
    """Over measuring processes."""


class TrainerTimes(Result):
    """What else is known of the Trainer."""

    step_seconds: dict[str, float]
    """Percentiles of single steps ("p5" to "p95")."""
    first_step_seconds: Interval
    """From the making of the model to the end of the first step."""
    compile_seconds: float
    """Compiling graphs, the median."""
    lightning_seconds_per_step: Interval
    """What Lightning adds to a step."""
    lightning_seconds_per_epoch: Interval
    """What Lightning adds to a change of epochs."""


class Energy(Result):
    """Energy of a training image, or why it is not known."""

    joules_per_image: Interval | None = None
    """Of the whole device or processor, divided by the images."""
    reason: str | None = None
    """Why it is not known."""

    @model_validator(mode="after")
    def _a_value_or_a_reason(self) -> "Energy":
        if (self.joules_per_image is None) == (self.reason is None):
            raise ValueError("holds either a value or a reason")
        return self


class Efficiency(Result):
    """How well the accelerator is used."""

    flops_per_image: int
    """Of a forward and backward pass."""
    flops_per_second: Interval
    """Achieved in training."""
    peak_flops_per_second: Interval
    """The best rate of convolutions and matrix products in the same process."""
    peak_of: str
    """The operation that reached it."""
    utilisation: Interval
    """Achieved over best."""
    data_wait_share: dict[str, float]
    """Part of each plain loop's time in which it waited for its loader."""
    peak_memory: Memory
    """The most of all processes."""
    energy: Energy
    """Of a training image."""
    decoded_per_second: Interval | None = None
    """Images per second while the decode cache is built."""
    decoded_over_baseline_input: Interval | None = None
    """The same over the rate of ImageFolder's loader."""
    cost_per_million_images: Interval | None = None
    """In the currency of `throughput.price_per_hour`."""


class SweepPoint(Result):
    """One combination of a sweep's values."""

    changes: dict[str, bool | int | str]
    """What it changes of the run's parameters."""
    status: Literal["ok", "out of memory", "unavailable", "failed", "refused"]
    """Whether it was measured."""
    images_per_second: Interval | None = None
    """Of the Trainer, if it was measured."""
    reason: str | None = None
    """Why it was not measured."""
    processes: tuple[Measurement, ...] = ()
    """What each process measured; not part of an export."""


class Throughput(Result):
    """The speed of one accelerator."""

    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    accelerator: str
    """The accelerator as reports call it."""
    device: str
    """What the accelerator calls itself."""
    verdict: Verdict
    """Whether the measurement can be relied on."""
    workload: Workload
    """What was measured."""
    dataset: str
    """md5 of the dataset's pin."""
    modes: dict[str, ModeRate]
    """The speed of each mode."""
    ratios: dict[str, Interval]
    """Of modes that took turns ("trainer_over_loop")."""
    noise_floor: Interval
    """The Trainer against itself."""
    trainer: TrainerTimes
    """What else is known of the Trainer."""
    other_work: float
    """Part of the processors' time that other work took."""
    efficiency: Efficiency
    """How well the accelerator is used."""
    sweep: tuple[SweepPoint, ...] = ()
    """Other combinations of parameters."""
    processes: tuple[Measurement, ...] = ()
    """What each process measured; not part of an export."""

    def exported(self) -> "Throughput":
        """The same without the single processes."""
        points = tuple(point.model_copy(update={"processes": ()}) for point in self.sweep)
        return self.model_copy(update={"sweep": points, "processes": ()})


THROUGHPUT: TypeAdapter[Throughput | Unavailable] = TypeAdapter(
    Annotated[Throughput | Unavailable, Field(discriminator="status")]
)
PROCESS: TypeAdapter[Measurement | NotMeasured] = TypeAdapter(
    Annotated[Measurement | NotMeasured, Field(discriminator="status")]
)

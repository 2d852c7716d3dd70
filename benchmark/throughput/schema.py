"""What the throughput stage and its measuring processes write."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, model_validator

from benchmark.common.results import ResultModel, Unavailable
from benchmark.common.statistics import Interval
from benchmark.machine.schema import GpuClocks
from benchmark.timing.schema import Block, PeerStatus


class ProcessIndex(NamedTuple):
    """Which of a run's measuring processes one is."""

    seed: int
    """Of the orders of blocks, drawn for the run."""
    number: int
    """Counted from 0."""


class WarmupSummary(ResultModel):
    """How a mode became warm."""

    steps: int
    """Number of steps."""
    steady: bool
    """Whether the last steps compiled nothing and took about the same time."""


class EnergyReading(ResultModel):
    """Energy of a run of the Trainer, or why it is not known."""

    joules: float | None = None
    """By the GPU's counter (NVML) or the processor's (RAPL)."""
    steps: int = 0
    """Of the run."""
    reason: str | None = None
    """Why there is no counter."""


class Memory(ResultModel):
    """Most memory in use."""

    host_bytes: int
    """Of the process, resident."""
    device_bytes: int | None = None
    """Of the device; null if it is not known."""
    device_reason: str | None = None
    """Why it is not known."""


class Peak(ResultModel):
    """The best rate of convolutions and matrix products."""

    flops_per_second: float
    """Floating-point operations per second."""
    of: str
    """The operation that reached it."""
    vendor_flops_per_second: float | None = None
    """What the vendor promises in this precision, where Lightning knows it."""


class Overhead(ResultModel):
    """Host time that Lightning adds, measured with a model that computes next to nothing."""

    seconds_per_step: float
    """To each step."""
    seconds_per_epoch: float
    """To each change of epochs."""


class Measurement(ResultModel):
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
    """In each round a block of each mode, and a second one of the Trainer. One more round before
    them is left out."""
    step_seconds: tuple[float, ...]
    """Single steps of the Trainer, each synchronised."""
    energy: EnergyReading
    """Of a run of the Trainer after the rounds."""
    memory: Memory
    """Most memory in use."""
    other_work: float
    """Part of the processors' time that other work took."""
    gpu_clocks: GpuClocks | None = None
    """Null without a GPU whose driver says."""
    peers: dict[str, PeerStatus] = Field(default_factory=dict)
    """Other software that was asked for, by mode."""


class NotMeasured(ResultModel):
    """Why something was not measured."""

    status: Literal["refused", "out of memory", "unavailable", "failed"]
    """What kind of reason."""
    reason: str
    """In words."""


class Profile(ResultModel):
    """What is measured once for all processes, in a process of its own; each part is a value or
    the reason why there is none."""

    status: Literal["profile"] = "profile"
    """As opposed to `ok`."""
    peak: Peak | NotMeasured
    """What the accelerator can do at best."""
    overhead: Overhead | NotMeasured
    """What Lightning adds."""
    decoding: Interval | NotMeasured
    """Images per second while the decode cache is built, from a part of the dataset."""


class IntervalWidth(ResultModel):
    """The widest interval of the Trainer's rate and ratios, and the width at which a run may stop.

    After `throughput.repeats` processes a run stops as soon as the target is met. Stopping early
    prefers intervals that are narrow by chance; `tests/interval_simulation.py` shows by how much.
    """

    widest: str
    """Name of the widest interval: `trainer`, or a ratio as "trainer_over_loop"."""
    width: float
    """Width of that interval, divided by its estimate."""
    target: float
    """`throughput.width`."""
    seconds: float
    """Wall time of all measuring processes."""

    @property
    def met(self) -> bool:
        """Whether the widest interval is at most as wide as the target."""
        return self.width <= self.target


class MeasurementVerdict(ResultModel):
    """Whether something disturbed a measurement."""

    stable: bool
    """Whether nothing did."""
    reason: str | None = None
    """What did."""
    advice: str | None = None
    """What to do about it."""

    def __str__(self) -> str:
        return "stable" if self.stable else f"unstable: {self.reason}; {self.advice}"


class Workload(ResultModel):
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
    adam: str
    """As asked for; `auto` is the fastest that each accelerator has."""
    deterministic: bool
    """Whether torch used deterministic kernels alone."""
    code: str
    """Digest of the code that was measured."""


class Runtime(ResultModel):
    """How the measuring processes ran, beside their workload; every mode alike."""

    adam: str
    """Torch's implementation of Adam."""
    wait_policy: str
    """How processors' threads wait for one another: `active`, `passive`, how often they
    spin before they sleep, or OpenMP's `default`."""
    huge_pages: bool
    """Whether torch asked for huge pages and the system gives them."""


class ModeRate(ResultModel):
    """The speed of one mode."""

    images_per_second: Interval
    """Over measuring processes."""


class StepShares(ResultModel):
    """Shares of a training step, which add up to 1. A share that is small beside its interval may
    be below 0."""

    compute: Interval
    """Training on a batch that is on the device."""
    input: Interval
    """Bringing batches."""
    lightning: Interval
    """The Trainer's loop."""


class TrainerTimes(ResultModel):
    """What else is known of the Trainer."""

    undisturbed_images_per_second: Interval
    """The rate that the fastest fifth of each process's blocks reach: what the machine does while
    little disturbs it."""
    step_seconds: dict[str, float]
    """Percentiles of single steps ("p5" to "p95")."""
    step_shares: StepShares | None = None
    """Where a step's time goes; null if the modes that tell it were not measured."""
    first_step_seconds: Interval
    """Making the model and the Trainer, and the first step."""
    compile_seconds: float
    """Compiling graphs, the median."""
    overhead: Overhead | NotMeasured
    """What Lightning adds, with a model that computes next to nothing."""


class Energy(ResultModel):
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


class Efficiency(ResultModel):
    """How well the accelerator is used."""

    flops_per_image: int
    """Of a forward and backward pass."""
    flops_per_second: Interval
    """Achieved in training."""
    peak: Peak | NotMeasured
    """The best rate of convolutions and matrix products, measured once in a process of its own."""
    utilisation: Interval | None = None
    """Achieved over best; null if the peak is not known."""
    vendor_utilisation: Interval | None = None
    """Achieved over what the vendor promises; null if that is not known."""
    peak_memory: Memory
    """The most of all processes."""
    energy: Energy
    """Of a training image."""
    decoding: Interval | NotMeasured
    """Images per second while the decode cache is built, which happens once."""


class SweepPoint(ResultModel):
    """One combination of a sweep's values."""

    changes: dict[str, bool | int | str]
    """What it changes of the run's parameters."""
    status: Literal["ok", "out of memory", "unavailable", "failed", "refused"]
    """Whether it was measured."""
    images_per_second: Interval | None = None
    """Of the Trainer, if it was measured."""
    ratio: Interval | None = None
    """The same over the rate of the run's own settings, from processes that took turns."""
    reason: str | None = None
    """Why it, or its ratio, was not measured."""

    @property
    def devices(self) -> int:
        """That trained together."""
        return int(self.changes.get("devices", 1))


class Throughput(ResultModel):
    """The speed of one accelerator."""

    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    accelerator: str
    """The accelerator as reports call it."""
    device: str
    """What the accelerator calls itself."""
    verdict: MeasurementVerdict
    """Whether something disturbed the measurement."""
    interval_width: IntervalWidth
    """Whether the intervals are as narrow as they were asked to be."""
    workload: Workload
    """What was measured."""
    runtime: Runtime
    """With what settings of the processes."""
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
    """Part of the processors' time that other work took, in the worst of the processes."""
    seed: int
    """Of the orders of blocks, drawn for this run."""
    date: str
    """Day of the measurement, UTC."""
    efficiency: Efficiency
    """How well the accelerator is used."""
    sweep: tuple[SweepPoint, ...] = ()
    """Other combinations of parameters."""
    peers: dict[str, PeerStatus] = Field(default_factory=dict)
    """Other software that was asked for, by mode."""
    processes: tuple[Measurement, ...] = ()
    """What each process measured; not part of an export."""

    @property
    def images_per_second(self) -> Interval:
        """Training images per second of the Trainer."""
        return self.modes["trainer"].images_per_second

    def exported(self) -> "Throughput":
        """The same without the single processes."""
        return self.model_copy(update={"processes": ()})


THROUGHPUT: TypeAdapter[Throughput | Unavailable] = TypeAdapter(
    Annotated[Throughput | Unavailable, Field(discriminator="status")]
)
PROCESS: TypeAdapter[Measurement | Profile | NotMeasured] = TypeAdapter(
    Annotated[Measurement | Profile | NotMeasured, Field(discriminator="status")]
)

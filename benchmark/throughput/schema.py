"""Result models of the throughput stage and of its measuring processes."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, model_validator

from benchmark.common.parameters import TIMM, CompileMode
from benchmark.common.results import ResultModel, Unavailable
from benchmark.common.statistics import Interval
from benchmark.machine.schema import GpuClocks, Memory
from benchmark.timing.schema import Block, PeerStatus


class ProcessIndex(NamedTuple):
    """Identifies a measuring process of a run."""

    seed: int
    """Seed of the orders of blocks, drawn for the run."""
    number: int
    """Number of the process, counted from 0."""


class WarmupSummary(ResultModel):
    """How the warm-up of a mode ended."""

    steps: int
    """Number of steps."""
    steady: bool
    """Whether the last steps compiled nothing and took about the same time."""


class EnergyReading(ResultModel):
    """Energy of a run of the Trainer, or why it is not known."""

    joules: float | None = None
    """Energy by the GPU's counter (NVML) or the processor's (RAPL)."""
    steps: int = 0
    """Number of steps of the run."""
    reason: str | None = None
    """Why the energy cannot be read; null if it was."""


class Peak(ResultModel):
    """The best rate of convolutions and matrix products."""

    flops_per_second: float
    """Floating-point operations per second."""
    of: str
    """The operation that reached the best rate."""
    vendor_flops_per_second: float | None = None
    """The vendor's published peak in this precision; null if it is unknown."""


class Overhead(ResultModel):
    """Host time that Lightning adds, measured with a model that computes next to nothing."""

    seconds_per_step: float
    """Seconds added to each step."""
    seconds_per_epoch: float
    """Seconds added to each change of epochs."""


class Measurement(ResultModel):
    """Everything that one process measured."""

    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    first_step_seconds: float
    """Seconds from the making of the model to the end of the Trainer's first step."""
    compile_seconds: float
    """Seconds of compiling graphs before the first block."""
    warmup: dict[str, WarmupSummary]
    """The warm-up of each mode."""
    steps: dict[str, int]
    """Steps in a block of each mode."""
    cores: dict[str, int]
    """Processor cores that each loader keeps busy."""
    capped_workers: int | None = None
    """Workers of each ImageFolder loader if open files were too few for one per processor."""
    rounds: tuple[dict[str, Block], ...]
    """For each round a block of each mode, and a second block of the Trainer."""
    step_seconds: tuple[float, ...]
    """Seconds of single steps of the Trainer, each synchronised."""
    energy: EnergyReading
    """Energy of a run of the Trainer after the rounds."""
    memory: Memory
    """Most memory in use."""
    other_work: float
    """Fraction of the processors' time that other work took."""
    gpu_clocks: GpuClocks | None = None
    """Clocks of the GPU; null if its driver does not report them."""


class NotMeasured(ResultModel):
    """The reason why something was not measured."""

    status: Literal["refused", "out of memory", "unavailable", "failed"]
    """Kind of the reason."""
    reason: str
    """The reason in words."""


class Profile(ResultModel):
    """What one process measures once for a run; each field is a value or a NotMeasured."""

    status: Literal["profile"] = "profile"
    """As opposed to `ok`."""
    peak: Peak | NotMeasured
    """The accelerator's best rate of computation."""
    overhead: Overhead | NotMeasured
    """Host time that Lightning adds."""
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
    """Whether nothing disturbed the measurement."""
    reason: str | None = None
    """What disturbed the measurement."""
    advice: str | None = None
    """What to do about the disturbance."""

    def __str__(self) -> str:
        return "stable" if self.stable else f"unstable: {self.reason}; {self.advice}"


class Workload(ResultModel):
    """What must be equal for two throughputs to be compared."""

    network: Annotated[str, Field(pattern=rf"^({TIMM})?\w{{1,64}}$")]
    """`model.architecture`, which is part of the name of an exported file."""
    weights: str
    """sha256 of the weights' file; the name of weights without a file."""
    freeze_backbone: bool
    channels_last: bool
    compile: CompileMode
    image_size: int
    batch_size: int
    num_workers: int
    cache_gib: float
    precision: str
    adam: str
    """The value in params.yaml; `auto` is the fastest that each accelerator has."""
    deterministic: bool
    """Whether torch used deterministic kernels only."""
    code: str
    """Digest of the code that was measured."""


class Runtime(ResultModel):
    """Settings of the measuring processes that are not part of the workload."""

    adam: str
    """Torch's implementation of Adam."""
    wait_policy: str
    """How processors' threads wait for one another: `active`, `passive`, how often they
    spin before they sleep, or OpenMP's `default`."""
    huge_pages: bool
    """Whether torch asked for huge pages and the system gives them."""
    capped_workers: int | None = None
    """Workers of each ImageFolder loader if open files were too few for one per processor."""


class ModeRate(ResultModel):
    """The speed of one mode."""

    images_per_second: Interval
    """Images per second, over measuring processes; for a peer, over pairs of processes."""


class StepShares(ResultModel):
    """Shares of a training step, which add up to 1.

    A share that is smaller than its interval's width may be below 0.
    """

    compute: Interval
    """Training on a batch that is on the device."""
    input: Interval
    """Loading batches and moving them to the device."""
    lightning: Interval
    """The Trainer's loop."""


class TrainerTimes(ResultModel):
    """Times of the Trainer."""

    undisturbed_images_per_second: Interval
    """The rate that the fastest fifth of each process's blocks reach."""
    step_seconds: dict[str, float]
    """Percentiles of the seconds of single steps ("p5" to "p95")."""
    step_shares: StepShares | None = None
    """Shares of a step's time; null unless `loop` and `compute` were measured."""
    first_step_seconds: Interval
    """Seconds for making the model and the Trainer, and for the first step."""
    compile_seconds: float
    """Seconds of compiling graphs, the median over processes."""
    overhead: Overhead | NotMeasured
    """Host time that Lightning adds, measured with an empty model."""


class Energy(ResultModel):
    """Energy of a training image, or why it is not known."""

    joules_per_image: Interval | None = None
    """Energy of the complete device or processor, divided by the images."""
    reason: str | None = None
    """Why the energy is not known."""

    @model_validator(mode="after")
    def _a_value_or_a_reason(self) -> "Energy":
        if (self.joules_per_image is None) == (self.reason is None):
            raise ValueError("must have either a value or a reason")
        return self


class Efficiency(ResultModel):
    """How well the accelerator is used."""

    flops_per_image: int
    """Floating-point operations of a forward and backward pass."""
    flops_per_second: Interval
    """Floating-point operations per second in training."""
    peak: Peak | NotMeasured
    """The best rate of convolutions and matrix products, measured once in a process of its own."""
    utilisation: Interval | None = None
    """`flops_per_second` divided by the peak; null if the peak is not known."""
    vendor_utilisation: Interval | None = None
    """`flops_per_second` divided by the vendor's published peak; null if that peak is unknown."""
    peak_memory: Memory
    """The most memory of all processes."""
    energy: Energy
    """Energy of a training image."""
    decoding: Interval | NotMeasured
    """Images per second while the decode cache is built, which happens once."""


class SweepPoint(ResultModel):
    """One combination of a sweep's values."""

    changes: dict[str, bool | int | str]
    """Parameters that differ from the run's."""
    status: Literal["ok", "out of memory", "unavailable", "failed", "refused"]
    """Whether the point was measured."""
    images_per_second: Interval | None = None
    """The Trainer's rate over all devices, if it was measured."""
    ratio: Interval | None = None
    """The point's rate divided by the rate with the run's parameters, from pairs of processes."""
    reason: str | None = None
    """Why the point, or its ratio, was not measured."""

    @property
    def devices(self) -> int:
        """Number of devices that trained together."""
        return int(self.changes.get("devices", 1))


class BatchPoint(ResultModel):
    """A batch size that the search for the fastest one measured, in one pair of processes."""

    batch_size: Annotated[int, Field(ge=1)]
    """Samples per step."""
    images_per_second: Annotated[float, Field(gt=0)]
    """The run's rate times `ratio`."""
    ratio: Annotated[float, Field(gt=0)]
    """The Trainer's rate divided by that with the run's own batch size. Blocks alternated."""


class BestBatch(ResultModel):
    """The speed at the fastest batch size, measured in new pairs of processes after the search."""

    batch_size: Annotated[int, Field(ge=1)]
    """Samples per step."""
    images_per_second: Interval
    """The run's rate times `ratio`; the interval covers both."""
    ratio: Interval
    """The Trainer's rate divided by that with the run's own batch size, over pairs of processes."""
    memory: Memory
    """The most memory of all processes."""


class BatchCurve(ResultModel):
    """Speed against the batch size, which doubles from the run's own."""

    points: tuple[BatchPoint, ...]
    """The larger batch sizes that were measured, in ascending order."""
    end: Literal["gain", "memory", "time", "failed"]
    """Why the search ended: the last point gained less than 5%, the next batch did not fit into
    memory, `throughput.curve_seconds` were spent, or a process failed."""
    reason: str | None = None
    """The error in words, if `end` is `memory` or `failed`."""
    best: BestBatch | None = None
    """The fastest batch size; null if none trains more than a tenth faster than the run's own."""


class Throughput(ResultModel):
    """The speed of one accelerator."""

    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    accelerator: str
    """The accelerator as reports call it."""
    device: str
    """Name of the device, as its driver reports it."""
    verdict: MeasurementVerdict
    """Whether something disturbed the measurement."""
    interval_width: IntervalWidth
    """The widest interval, and the width at which the run could stop."""
    workload: Workload
    """What was measured."""
    runtime: Runtime
    """Settings of the measuring processes."""
    dataset: str
    """md5 of the dataset's pin."""
    modes: dict[str, ModeRate]
    """The speed of each mode."""
    ratios: dict[str, Interval]
    """Ratios of two modes' rates ("trainer_over_loop")."""
    noise_floor: Interval
    """Ratio of the Trainer's two blocks of a round; without noise it is 1."""
    trainer: TrainerTimes
    """Times of the Trainer."""
    other_work: float
    """Fraction of the processors' time that other work took, in the worst of the processes."""
    seed: int
    """Seed of the orders of blocks, drawn for this run."""
    date: str
    """Day of the measurement, UTC."""
    efficiency: Efficiency
    """How well the accelerator is used."""
    sweep: tuple[SweepPoint, ...] = ()
    """Other combinations of parameters."""
    curve: BatchCurve | None = None
    """Speed against the batch size; null if `throughput.curve_seconds` is 0."""
    peers: dict[str, PeerStatus] = Field(default_factory=dict)
    """Versions of other software, or why it was not measured, by mode."""
    processes: tuple[Measurement, ...] = ()
    """The result of each process; not part of an export."""

    @property
    def images_per_second(self) -> Interval:
        """Training images per second of the Trainer."""
        return self.modes["trainer"].images_per_second

    @property
    def best_batch_size(self) -> int:
        """The fastest batch size: the run's own, unless a larger one is a tenth faster."""
        best = self.curve and self.curve.best
        return best.batch_size if best else self.workload.batch_size

    @property
    def best_images_per_second(self) -> Interval | None:
        """The Trainer's rate at the fastest batch size; None if no larger batch was measured."""
        if self.curve is None or self.curve.end == "failed":
            return None
        if self.curve.best:
            return self.curve.best.images_per_second
        was_tried = self.curve.points or self.curve.end == "memory"
        return self.images_per_second if was_tried else None

    def exported(self) -> "Throughput":
        """Return a copy without `processes`, for an export."""
        return self.model_copy(update={"processes": ()})


THROUGHPUT: TypeAdapter[Throughput | Unavailable] = TypeAdapter(
    Annotated[Throughput | Unavailable, Field(discriminator="status")]
)
PROCESS: TypeAdapter[Measurement | Profile | NotMeasured] = TypeAdapter(
    Annotated[Measurement | Profile | NotMeasured, Field(discriminator="status")]
)

"""What the report is made of: records of accelerators, and their comparison."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from benchmark.common.results import ResultModel
from benchmark.common.statistics import Interval
from benchmark.data.schema import Dataset
from benchmark.machine.schema import Environment
from benchmark.throughput.schema import (
    Energy,
    IntervalWidth,
    MeasurementVerdict,
    Memory,
    NotMeasured,
    Overhead,
    Runtime,
    StepShares,
    SweepPoint,
    Throughput,
)
from benchmark.timing.schema import PeerStatus
from benchmark.training.schema import Digests, Replay, Timing, Training

RECORD_VERSION: Literal[6] = 6
Kind = Literal[
    "bit-equal", "equal within tolerance", "equal within margin", "no difference detected",
    "different", "not compared", "unavailable",
]  # fmt: skip


class TrainingRecord(ResultModel):
    """All that is known of one training."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    result: Training
    """As the stage wrote it."""
    timing: Timing
    """Wall times."""
    losses: tuple[float, ...]
    """Of each step."""
    accuracies: tuple[float, ...]
    """On validation, after each epoch."""
    correct: str
    """A digit for each test image, in the order of the files: 1 where its class was found."""
    by_class: tuple[tuple[int, int], ...]
    """Test images whose class was found, and all of them, for each class in the order of names."""
    replay: Replay
    """Of its first steps, in a process of its own."""


class Session(ResultModel):
    """One measuring session: a run of the throughput stage."""

    code: str
    """Digest of the code that was measured."""
    date: str
    """Day of the measurement, UTC."""
    images_per_second: dict[str, float]
    """The estimate for each mode."""


class Price(ResultModel):
    """What an hour of a machine costs."""

    per_hour: float
    """In that currency."""
    currency: str
    """Its name."""


class Record(ResultModel):
    """All that is known of one accelerator of one machine."""

    schema_version: Literal[6] = RECORD_VERSION
    """Grows whenever a key changes its meaning."""
    name: str
    """As in params.yaml."""
    environment: Environment
    """Hardware and software."""
    training: TrainingRecord
    """With the run's own seed."""
    seeds: dict[int, TrainingRecord]
    """With further seeds."""
    throughput: Throughput
    """Without the single processes."""
    train_images: int
    """Of the dataset that it trained on."""
    sessions: tuple[Session, ...] = ()
    """Those that this machine has exported, of the same workload but for its code."""
    price: Price | None = None
    """Of the machine, where params.yaml names one."""

    @property
    def label(self) -> str:
        """What reports call the accelerator."""
        return self.training.result.accelerator

    @property
    def machine(self) -> str:
        """The machine's opaque id."""
        return self.environment.machine

    @property
    def rate(self) -> Interval:
        """Training images per second."""
        return self.throughput.modes["trainer"].images_per_second


class Absent(ResultModel):
    """An accelerator that is not there."""

    name: str
    """As in params.yaml."""
    label: str
    """As in reports (`xla:cpu`)."""
    status: Literal["unavailable"] = "unavailable"
    """As opposed to `ok`."""
    reason: str
    """Why it cannot be used."""


class Accuracy(ResultModel):
    """A share of test images with Wilson's interval of 95%, for the one model that was trained."""

    estimate: float
    """The share."""
    low: float
    """The interval's lower end."""
    high: float
    """The interval's upper end."""
    right: int
    """Images whose class was found."""
    images: int
    """Images in all."""


class TrainLoss(ResultModel):
    """The training loss at both ends; null where it is no finite number."""

    first: float | None
    """Of the first step."""
    last: float | None
    """Of the last step."""


class ToTarget(ResultModel):
    """What it took to reach the target accuracy on validation, up to the end of that epoch."""

    epochs: int
    """Epochs."""
    seconds: float
    """Wall time."""
    images: int
    """Training images shown."""


class TrainingEntry(ResultModel):
    """One training in the comparison."""

    test_accuracy: Accuracy
    """On the test split."""
    balanced_accuracy: float
    """The mean of the classes' recalls on the test split: the same for classes of all sizes."""
    commonest_class: float
    """What always naming the commonest class would give on the test split."""
    test_top5: float
    """Share of test images whose class is among the five most probable."""
    val_accuracy: float
    """On the validation split."""
    epochs: int
    """Epochs that were trained."""
    best_epoch: int
    """The epoch of the lowest validation loss, from 1."""
    steps: int
    """Optimizer steps."""
    train_loss: TrainLoss
    """Of the first and the last step."""
    seconds: float
    """Wall time."""
    to_target: ToTarget | None
    """Null if the target accuracy was missed."""
    replay: Replay
    """The first steps, repeated in a fresh process."""


class Alike(ResultModel):
    """What a control had in common with the training."""

    sample_order: bool
    """Whether digests of the order are equal."""
    first_pixels: bool
    """Whether digests of the first batches' pixels are equal."""
    number_of_steps: bool
    """Whether both made as many steps."""

    def differences(self) -> list[str]:
        """The names of what was not alike."""
        return [name.replace("_", " ") for name, same in self if not same]


class ControlEntry(TrainingEntry):
    """The same training from random weights."""

    alike: Alike
    """What it had in common with the training."""


class SeedsEntry(ResultModel):
    """The same training with several seeds."""

    further: tuple[int, ...]
    """Seeds besides the run's own."""
    runs: tuple[TrainingEntry, ...]
    """All of them, that of the run's own seed first."""
    mean: Interval
    """Of test accuracies, over seeds; all were tested on the same images."""
    std: float
    """Standard deviation of test accuracies."""
    reached: int
    """Runs that reached the target accuracy."""


class Speed(ResultModel):
    """The speed of Lightning's Trainer."""

    images_per_second: Interval
    """Training images per second; the interval is that of the median process of one session."""
    undisturbed_images_per_second: Interval
    """The rate that the fastest fifth of each process's blocks reach."""
    date: str
    """Day of the measurement, UTC."""
    sessions: int
    """Measuring sessions of this machine that its export holds."""
    session_deviation: float | None
    """Standard deviation of the rate's logarithm between them; null where they are too few."""
    ratio_to_reference: Interval | None
    """Null for the reference itself, and where there is none. What changes between sessions is in
    its interval where both have a `session_deviation`."""
    not_compared: str | None
    """Why there is no ratio; null where there is one."""
    detectable: bool | None
    """Whether the ratio's interval does not hold 1."""
    noise_floor: Interval
    """The Trainer against itself."""
    verdict: MeasurementVerdict
    """Whether something disturbed the measurement."""
    interval_width: IntervalWidth
    """Whether the intervals are as narrow as they were asked to be."""
    runtime: Runtime
    """With what settings of the processes."""
    ratios: dict[str, Interval]
    """Of modes measured in turn."""
    step_shares: StepShares | None
    """Where a step's time goes; null if the modes that tell it were not measured."""
    step_seconds: dict[str, float]
    """Percentiles of single steps."""
    first_step_seconds: Interval
    """Making the model and the Trainer, and the first step."""
    compile_seconds: float
    """Compiling graphs, the median."""
    overhead: Overhead | NotMeasured
    """What Lightning adds, with a model that computes next to nothing."""
    decoding: Interval | NotMeasured
    """Images per second while the decode cache is built, which happens once."""
    sweep: tuple[SweepPoint, ...]
    """One for each point of `throughput.sweep`; `changes` always has the batch size."""
    peers: dict[str, PeerStatus]
    """Other software that was asked for; where it was measured, `ratios` has `trainer_over_timm`
    and the like."""


class Cost(ResultModel):
    """What an accelerator's hours cost."""

    currency: str
    """Of `report.currency`."""
    per_hour: float
    """Of `report.price_per_hour`."""
    per_million_images: Interval
    """At the training rate that was measured."""
    training: float
    """Of the training with the run's own seed."""
    to_target: float | None
    """Of the same until the target accuracy; null if that was missed."""


class Entry(ResultModel):
    """One accelerator that is there."""

    name: str
    """As in params.yaml."""
    label: str
    """As in reports (`xla:cpu`)."""
    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    machine: str
    """Opaque id of the hardware."""
    device: str
    """What the accelerator calls itself."""
    software: dict[str, str]
    """Versions of Python and of the packages that compute."""
    code: str
    """Digest of the training's code."""
    throughput: Speed
    """The speed of Lightning's Trainer."""
    utilisation: Interval | None
    """Achieved FLOP/s over the best that convolutions and matrix products reach; null if that is
    not known."""
    vendor_utilisation: Interval | None
    """Achieved FLOP/s over what the vendor promises; null if that is not known."""
    peak_memory: Memory
    """Most memory in use."""
    energy: Energy
    """Of a training image."""
    cost: Cost | None
    """Null where `report.price_per_hour` does not name the accelerator."""
    training: TrainingEntry
    """With the run's own seed."""
    control: ControlEntry | None
    """From random weights; null where none ran."""
    seeds: SeedsEntry | None
    """With further seeds; null where there are none."""
    digests: Digests
    """sha256 of the weights and of what the model was shown."""

    @property
    def rate(self) -> Interval:
        """Training images per second."""
        return self.throughput.images_per_second


class Parity(ResultModel):
    """Whether two trainings have the same result."""

    kind: Kind
    """The strongest claim that holds."""
    claim: str
    """The same in words."""
    equal_through_step: int | None = None
    """Losses are equal within the tolerance up to this step, counted from 1."""
    first_different_step: int | None = None
    """The first step whose losses differ in any bit; null if there is none."""
    accuracy_difference: Interval | None = None
    """Of the test accuracies, that of the other less that of the one."""
    p_value: float | None = None
    """Of Wald's test on the two answers to each test image; it agrees with the interval."""


class Pair(Parity):
    """The parity of two named accelerators."""

    one: str
    """`<label>`, or `<label> on <machine>` if it is another machine's."""
    other: str
    """The other one, named alike."""


AnyEntry = Annotated[Entry | Absent, Field(discriminator="status")]


class Comparison(ResultModel):
    """reports/comparison.json."""

    schema_version: Literal[6] = 6
    """Grows whenever a key changes its meaning or goes; new keys may come without."""
    summary: str
    """The comparison in one sentence."""
    flags: tuple[str, ...]
    """What must be known before a speed is read: who did other work than the reference or had
    other software or training code, whose speed is unstable, which control was shown something
    else, which training was not reproduced."""
    reference: str | None
    """The accelerator that the others are compared with: the first that is there."""
    target_accuracy: float
    """Validation accuracy to which time and images are counted."""
    dataset: Dataset
    """This machine's."""
    accelerators: tuple[AnyEntry, ...]
    """This machine's, in the order of params.yaml."""
    parity: tuple[Pair, ...]
    """For each pair of accelerators, other machines' included."""
    machines: tuple[Entry, ...]
    """Other machines', as they exported them."""

    @property
    def present(self) -> list[Entry]:
        """This machine's accelerators that are there."""
        return [entry for entry in self.accelerators if isinstance(entry, Entry)]


RECORD = TypeAdapter(Record)

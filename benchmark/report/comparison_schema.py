"""reports/comparison.json: the records of several accelerators and machines, compared."""

from typing import Annotated, Literal

from pydantic import Field

from benchmark.common.results import ResultModel
from benchmark.common.statistics import Interval
from benchmark.data.schema import PinnedImages
from benchmark.report.schema import Absent, Price
from benchmark.report.sessions import SessionSpread
from benchmark.throughput.schema import Throughput
from benchmark.training.schema import Replay, Training

ParityKind = Literal[
    "bit-equal", "equal within tolerance", "equal within margin", "no difference detected",
    "different", "not compared", "unavailable",
]  # fmt: skip


class ToTarget(ResultModel):
    """Effort of a training to the end of the first epoch that reaches the target accuracy."""

    epochs: int
    """Number of epochs."""
    seconds: float
    """Wall time in seconds."""
    images: int
    """Training images that the model was trained on, repetitions included."""


class TrainingEntry(ResultModel):
    """One training in the comparison."""

    result: Training
    """The result as the stage wrote it."""
    replay: Replay
    """The first steps, repeated in a new process."""
    test_accuracy: Interval
    """Share of test images classified correctly, with Wilson's 95% interval, for this one model."""
    test_images: int
    """Number of test images."""
    balanced_accuracy: float
    """Mean of the classes' recalls on the test split: every class has the same weight."""
    commonest_class: float
    """Test accuracy of always predicting the most frequent class."""
    first_loss: float | None
    """Training loss of the first step; null if it is not finite."""
    last_loss: float | None
    """Training loss of the last step; null if it is not finite."""
    seconds: float
    """Wall time of the complete training in seconds."""
    to_target: ToTarget | None
    """Effort to reach the target accuracy; null if the training missed it."""


class EqualInputs(ResultModel):
    """Whether a control and its training had equal inputs."""

    sample_order: bool
    """Whether the digests of the order are equal."""
    first_pixels: bool
    """Whether the digests of the first batches' pixels are equal."""
    number_of_steps: bool
    """Whether the numbers of steps are equal."""

    def in_words(self) -> dict[str, bool]:
        """Return whether each input is equal, by its name with spaces."""
        return {name.replace("_", " "): equal for name, equal in self}


class ControlEntry(TrainingEntry):
    """The same training from random weights."""

    equal_inputs: EqualInputs
    """Whether its inputs equal those of the training."""


class SeedsEntry(ResultModel):
    """The same training with several seeds."""

    other_seeds: tuple[int, ...]
    """Seeds other than the run's own."""
    runs: tuple[TrainingEntry, ...]
    """All trainings, that with the run's own seed first."""
    mean: Interval
    """Mean test accuracy over seeds; all were tested on the same images."""
    std: float
    """Standard deviation of the test accuracies."""
    reached: int
    """Number of runs that reached the target accuracy."""


class RelativeSpeed(ResultModel):
    """An accelerator's training rate over the reference's. The reference has two nulls."""

    ratio: Interval | None = None
    """The rate over the reference's. The interval includes the spread between sessions if it is
    known for both. A difference is detected if the interval excludes 1."""
    not_compared: str | None = None
    """Reason why the speeds cannot be compared; null if they can."""

    @property
    def detectable(self) -> bool:
        """Whether the ratio's interval excludes 1."""
        return self.ratio is not None and 1 not in self.ratio


class Cost(ResultModel):
    """Cost of an accelerator at its price per hour."""

    price: Price
    """The price from `report.price_per_hour` and `report.currency`."""
    per_million_images: Interval
    """Cost at the measured training rate."""
    training: float
    """Cost of the training with the run's own seed."""
    to_target: float | None
    """Cost of that training to the target accuracy; null if it missed the target."""


class Entry(ResultModel):
    """An accelerator that has results."""

    name: str
    """Name in params.yaml."""
    label: str
    """Name in reports, such as `xla:cpu`."""
    status: Literal["ok"] = "ok"
    """Distinguishes this entry from an absent accelerator, whose status is `unavailable`."""
    machine: str
    """Opaque id of the hardware."""
    software: dict[str, str]
    """Versions of Python and of the packages that compute."""
    throughput: Throughput
    """The measurement, without its processes; each point of the sweep has its batch size."""
    relative_speed: RelativeSpeed
    """The training rate over the reference's."""
    relative_best: RelativeSpeed = RelativeSpeed()
    """The rate at its fastest batch size over the reference's at that one's fastest."""
    session_spread: SessionSpread | None
    """How the training rate differs between measuring sessions; null if too few are recorded."""
    cost: Cost | None
    """Its costs; null if `report.price_per_hour` does not name the accelerator."""
    training: TrainingEntry
    """The training with the run's own seed."""
    control: ControlEntry | None
    """The training from random weights; null if none ran."""
    seeds: SeedsEntry | None
    """Trainings with other seeds; null if none ran."""

    @property
    def network(self) -> str:
        """The `model.architecture` that was trained."""
        return self.throughput.workload.network

    @property
    def device(self) -> str:
        """The device's name, from its driver or system."""
        return self.training.result.device


class Parity(ResultModel):
    """Whether two trainings have the same result."""

    kind: ParityKind
    """The strongest claim that is true."""
    claim: str
    """The claim in words."""
    equal_through_step: int | None = None
    """The last step, counted from 1, up to which all losses are equal within the tolerance."""
    first_different_step: int | None = None
    """The first step, counted from 1, whose losses differ in any bit; null if none does."""
    accuracy_difference: Interval | None = None
    """Test accuracy of the second less that of the first."""
    p_value: float | None = None
    """p of Wald's test on the two predictions of each test image; it agrees with the interval."""


class NamedParity(Parity):
    """The parity of two accelerators, each named `<label>` or `<label> on <machine>`."""

    one: str
    """Name of the first accelerator."""
    other: str
    """Name of the second accelerator."""


AnyEntry = Annotated[Entry | Absent, Field(discriminator="status")]


class Comparison(ResultModel):
    """reports/comparison.json."""

    schema_version: Literal[6] = 6
    """Increases when a key is removed or changes its meaning, not when a key is added."""
    summary: str
    """The comparison in one sentence."""
    flags: tuple[str, ...]
    """Warnings to read before the speeds: other work, software or code than the reference's, an
    unstable speed, a control with other inputs, a training that was not reproduced."""
    reference: str | None
    """The accelerator that all are compared with: the first that has results."""
    target_accuracy: float
    """Validation accuracy to which time and images are counted."""
    dataset: PinnedImages
    """This machine's dataset."""
    accelerators: tuple[AnyEntry, ...]
    """This machine's accelerators, in the order of params.yaml."""
    parity: tuple[NamedParity, ...]
    """The parity of each pair of accelerators, other machines' included."""
    machines: tuple[Entry, ...]
    """Other machines' accelerators, as they were exported."""

    @property
    def present(self) -> list[Entry]:
        """This machine's accelerators that have results."""
        return [entry for entry in self.accelerators if isinstance(entry, Entry)]

    @property
    def networks(self) -> list[str]:
        """Names of all trained networks, this machine's first."""
        return list(dict.fromkeys(entry.network for entry in [*self.present, *self.machines]))

    @property
    def local_pairs(self) -> list[NamedParity]:
        """The pairs of this machine's accelerators that have results."""
        labels = {entry.label for entry in self.present}
        return [pair for pair in self.parity if labels >= {pair.one, pair.other}]

"""Figures in words, the same in Markdown and on the page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from benchmark.common import numbers
from benchmark.common.formatting import p_value
from benchmark.common.numbers import duration
from benchmark.common.parameters import PEERS
from benchmark.common.statistics import Interval
from benchmark.report.entries import title
from benchmark.report.headline import few
from benchmark.report.schema import (
    Accuracy,
    Comparison,
    Cost,
    Entry,
    Pair,
    SeedsEntry,
    Speed,
    TrainingEntry,
)
from benchmark.throughput.schema import (
    Energy,
    IntervalWidth,
    Memory,
    NotMeasured,
    Overhead,
    Runtime,
    StepShares,
    SweepPoint,
)

INTERVALS = (
    "The interval of a speed covers what differs between the processes of one session. Another "
    "session on the same machine may be faster or slower; the interval of a ratio covers that too "
    "where three sessions of both are recorded. The interval of an accuracy covers the choice of "
    "test images, for the one model that was trained."
)
PAIRS = (
    "A line about two accelerators compares two trained models, one training of each; a difference "
    "of accuracies is the second's less the first's. Both answered the same images, so a "
    "difference can show though their own intervals overlap. Several pairs share a risk of 5%: "
    "their intervals are wider than 95%. No difference detected does not mean equal: the test "
    "images may be too few to show one."
)
RATIOS = {
    "trainer_over_loop": "Trainer / plain loop",
    "trainer_over_compute": "Trainer / resident batch",
    "trainer_over_baseline": "Trainer / ImageFolder loop",
    **{f"trainer_over_{peer}": f"Trainer / {peer}" for peer in PEERS},
    "compute_over_nondeterministic": "Deterministic / any kernels, resident batch",
    "input_over_baseline_input": "Loader / ImageFolder loader, per core",
}
QUESTIONS = {
    "trainer_over_loop": "What does Lightning cost?",
    "trainer_over_compute": "What do input and Lightning cost?",
    "trainer_over_baseline": "Is it faster than the usual way?",
    "compute_over_nondeterministic": "What do deterministic kernels cost?",
    "input_over_baseline_input": "Is the loader faster than the usual one?",
}
NO_PRICE = (
    "No price is set. Name one, as `report.price_per_hour: {cpu: 0.40}` in `params.yaml`, and run "
    "`make repro`: nothing is measured again."
)
COSTS = (
    "A training's cost includes validation, checkpoints and the test; that of a million images "
    "does not."
)
PARTS = {"compute": "computing", "input": "input", "lightning": "Lightning"}
TURNS = (
    "The two alternated, block by block. Below 1 the first is slower, above 1 it is faster. "
    "The loaders do different work: this one delivers bytes, which the device converts, "
    "ImageFolder's ready floats."
)
OTHERS = (
    "Above 1 this suite's Trainer is faster. Each peer trains a network of its own at the same "
    "precision, image and batch size, with Adam at the same rate, on crops and flips alone, and "
    "loads with a worker per core. It has the memory format that it has by default, any kernels, "
    "and, which favours it, this suite's settings of memory and threads."
)
EFFICIENCY = (
    "Utilisation: FLOP/s of training over the best that convolutions and matrix products reached "
    "on this device, and over what its vendor promises. Lightning's overhead: with a model that "
    "computes next to nothing. Decoding: building the decode cache, once."
)
DIGESTS = (
    "Equal digests prove that accelerators began with the same weights and saw the same samples in "
    "the same order. Those of pixels are of the first batches."
)
MACHINES = (
    "The fastest first. A machine's name is a digest of its hardware. Results are compared with "
    "those of the reference, bits and accuracy."
)
TERMS = (
    ("Images/s", "throughput: training images that pass forward, backward and the optimizer."),
    ("Trainer", "Lightning's, with the DataModule: what a training runs."),
    ("95% confidence interval", "of 100 such intervals, about 95 hold the true value."),
    ("Session", "one run of the throughput stage: several processes, one after the other."),
    ("Undisturbed", "the rate that the fastest fifth of each process's blocks reaches."),
    ("Noise floor", "the Trainer against itself. A ratio as near to 1 as this says nothing."),
    ("Plain loop", "the same training in plain PyTorch, without Lightning."),
    ("Block", "a few steps between two readings of the clock."),
    ("Resident batch", "training on one batch that stays on the device: no input."),
    ("ImageFolder loop", "the same training with torchvision's ImageFolder, as most write it."),
    ("Control", "the same training from random weights; all layers are trained."),
    ("Digest", "sha256 of what something holds: equal digests mean equal bits."),
)
WAITING = {
    "default": "do as OpenMP has them",
    "active": "spin (OMP_WAIT_POLICY=active)",
    "passive": "sleep (OMP_WAIT_POLICY=passive), which leaves other work its share",
}


def goal(target: float) -> str:
    """An accuracy without digits that it does not have."""
    return f"{100 * target:g}%"


def against(speed: Speed) -> str:
    """A rate's ratio to the reference's, in words where there is none."""
    if speed.not_compared:
        return f"not compared: {speed.not_compared}"
    if speed.ratio_to_reference is None:
        return "the reference"
    found = ratio(speed.ratio_to_reference)
    return found if speed.detectable else f"no difference detected: {found}"


def ratio(found: Interval | None) -> str:
    """A ratio with its interval, if it was measured."""
    return numbers.interval(found) if found else "not measured"


def speed(found: Speed) -> str:
    """Images per second with their interval, and a warning if they are not stable."""
    said = numbers.interval(found.images_per_second)
    return said if found.verdict.stable else f"{said}, unstable"


def share(found: Interval | Accuracy | None) -> str:
    """A share with its interval."""
    if found is None:
        return "unavailable"
    return f"{found.estimate:.1%} ({found.low:.1%} to {found.high:.1%})"


def sureness(found: Speed) -> str:
    """Whether something disturbed the measurement, how narrow its intervals are, and how much
    sessions differ."""
    return f"{found.verdict}. {_interval_width(found.interval_width)} {_sessions(found)}"


def limit(found: StepShares) -> str:
    """What takes most of a step."""
    name, most = max(found, key=lambda item: item[1].estimate)
    return f"{PARTS[name]} limits the speed: it takes {most.estimate:.1%} of a training step."


def shares(found: StepShares) -> str:
    """Every part of a step with its interval."""
    return ", ".join(part(each, name) for name, each in found)


def part(found: Interval, name: str) -> str:
    """A part of a step with its interval."""
    return f"{PARTS[name]} {share(found)}"


def _interval_width(found: IntervalWidth) -> str:
    name = "the rate" if found.widest == "trainer" else RATIOS.get(found.widest, found.widest)
    after, target = duration(found.seconds), f"{found.target:.0%}"
    if found.met:
        return f"Stopped after {after}: every interval is at most {target} wide."
    return f"After {after} the interval of {name} is {found.width:.1%} wide, not {target}."


def _sessions(found: Speed) -> str:
    if found.session_deviation is not None:
        deviation = f"standard deviation {found.session_deviation:.1%}"
        return f"{found.sessions} sessions are recorded, {deviation}."
    if found.sessions > 1:
        return f"{found.sessions} sessions are recorded, too few to tell how much they differ."
    return "No other session is recorded: how much sessions differ is not known."


def milliseconds(found: Overhead | NotMeasured) -> str:
    """What Lightning adds to a step and to a change of epochs."""
    if isinstance(found, NotMeasured):
        return f"unavailable: {found.reason}"
    step, epoch = (duration(each) for each in (found.seconds_per_step, found.seconds_per_epoch))
    return f"{step} a step, {epoch} an epoch"


def first_step(found: Speed) -> str:
    """How long the first step takes to come, and what part of it is compiling."""
    said = numbers.interval(found.first_step_seconds, "s")
    if not found.compile_seconds:
        return said
    return f"{said}, and {duration(found.compile_seconds)} of compiling"


def decoding(found: Interval | NotMeasured) -> str:
    """Images per second while the decode cache is built."""
    if isinstance(found, NotMeasured):
        return f"unavailable: {found.reason}"
    return numbers.interval(found)


def runtime(label: str, found: Runtime) -> str:
    """How an accelerator's processes ran."""
    spins = f"spin {found.wait_policy} times, then sleep (GOMP_SPINCOUNT)"
    waiting = WAITING.get(found.wait_policy, spins)
    pages = "huge pages" if found.huge_pages else "pages of ordinary size"
    return (
        f"Processes on {label}: Adam's implementation {found.adam}; large tensors in {pages}; "
        f"threads that wait for one another {waiting}."
    )


def commonest(training: TrainingEntry) -> str:
    """What an accuracy is of, and what it must be better than."""
    return (
        "Accuracy is that of the epoch with the lowest validation loss, on "
        f"{training.test_accuracy.images:,} test images. Always naming the commonest class would "
        f"give {training.commonest_class:.1%}."
    )


def gains(entry: Entry) -> list[tuple[str, str]]:
    """What the weights bring, against the control; nothing without one."""
    if not entry.control:
        return []
    one, other = (each.test_accuracy.estimate for each in (entry.training, entry.control))
    alike = ", ".join(
        f"{name.replace('_', ' ')} {'equal' if equal else 'different'}"
        for name, equal in entry.control.alike
    )
    gain = f"{(one - other) * 100:+.1f} points against its control ({alike})."
    return [(entry.label, gain)]


def seeds(found: SeedsEntry, comparison: Comparison) -> str:
    """What the runs of several seeds have in common."""
    count = len(found.runs)
    return (
        f"over {count} seeds, mean test accuracy {share(found.mean)}, all on the same test images, "
        f"standard deviation {found.std * 100:.1f} points; {found.reached} of {count} runs reached "
        f"{goal(comparison.target_accuracy)}."
    )


def course(label: str, training: TrainingEntry) -> str:
    """The training loss at both ends."""
    ends = [
        f"{loss:.3g}" if loss is not None else "no number"
        for loss in (training.train_loss.first, training.train_loss.last)
    ]
    return f"{label} from {' to '.join(ends)} in {training.steps} steps"


def steps(label: str, found: Mapping[str, float]) -> str:
    """The times of single steps."""
    if not found:
        return f"{label} not known"
    middle, low, high = (duration(found[name]) for name in ("p50", "p5", "p95"))
    return f"{label} {middle}, nine of ten from {low} to {high}"


def recall(name: str, right: int, images: int) -> str:
    """How many images of a class are found."""
    return f"{right} of {images} ({name})"


def to_target(training: TrainingEntry) -> str:
    """Time and images until the target was reached."""
    found = training.to_target
    if found is None:
        return f"not reached in {duration(training.seconds)}"
    return f"{duration(found.seconds)}, {found.images:,} images"


def memory(found: Memory) -> str:
    """Peak memory of the device, or why it is not known, and of the host."""
    size = found.device_bytes
    device = f"unavailable: {found.device_reason}" if size is None else numbers.size(size)
    return f"host {numbers.size(found.host_bytes)}, device {device}"


def energy(found: Energy) -> str:
    """Of one image, or why it is not known."""
    joules = found.joules_per_image
    if joules is None:
        return f"unavailable: {found.reason}"
    return numbers.interval(joules, "J")


def costs(found: Cost | None) -> list[str]:
    """The price, and the cost of a million images, of the whole training, and until the target
    accuracy."""
    if found is None:
        return ["no price"] * 4
    million = numbers.interval(found.per_million_images, found.currency)
    training = f"{numbers.number(found.training)} {found.currency}"
    target = "not reached"
    if found.to_target is not None:
        target = f"{numbers.number(found.to_target)} {found.currency}"
    price = f"{numbers.number(found.per_hour)} {found.currency} an hour"
    return [price, million, training, target]


def swept(present: Sequence[Entry]) -> Iterator[tuple[str, str, str, str]]:
    """Accelerator, point, outcome and ratio to the run's own settings of all in the sweeps."""
    for entry in present:
        for point in entry.throughput.sweep:
            what = ", ".join(f"{name} {value}" for name, value in point.changes.items())
            if point.images_per_second is None:
                yield entry.label, what, f"{point.status}: {point.reason}", "-"
            else:
                against = _against_own(point, entry.name) if point.ratio else str(point.reason)
                yield entry.label, what, numbers.interval(point.images_per_second), against


def _against_own(point: SweepPoint, accelerator: str) -> str:
    """A point's ratio, and the scaling efficiency of several devices, unless they share a CPU."""
    said = [ratio(point.ratio)]
    if point.devices > 1 and point.ratio and accelerator != "cpu":
        said.append(f"{point.ratio.estimate / point.devices:.0%} of {point.devices} times one")
    return "; ".join(said)


def peers(entry: Entry) -> Iterator[tuple[str, str, str, str]]:
    """Accelerator, peer, its versions, and its ratio or why there is none."""
    for name, peer in entry.throughput.peers.items():
        versions = ", ".join(f"{package} {each}" for package, each in peer.versions.items())
        measured = ratio(entry.throughput.ratios.get(f"trainer_over_{name}"))
        yield entry.label, name, versions or "-", peer.reason or measured


def replayed(run: TrainingEntry) -> str:
    """Whether the replay was equal, and if not, where it differs."""
    found = run.replay
    if found.bitwise:
        return (
            f"reproduced: the first {found.steps} of {run.steps} steps, repeated in a new process, "
            "are equal bit for bit"
        )
    return f"not reproduced: {found}"


def here(comparison: Comparison) -> list[Pair]:
    """The pairs of this machine's accelerators that are there."""
    labels = {entry.label for entry in comparison.present}
    return [pair for pair in comparison.parity if labels >= {pair.one, pair.other}]


def results(comparison: Comparison) -> list[str]:
    """For each entry of another machine, how its results compare with the reference's, in short."""
    one = comparison.reference
    pairs = {pair.other: _short(pair) for pair in comparison.parity if pair.one == one}
    names = [title(entry.label, entry.machine) for entry in comparison.machines]
    return [pairs.get(name, "the reference") for name in names]


def _short(pair: Pair) -> str:
    if pair.kind == "not compared":
        return pair.claim
    p = f" ({p_value(pair.p_value)})" if pair.p_value is not None else ""
    step = pair.first_different_step
    differs = f", first different bit at step {step}" if step else ""
    return f"{pair.kind}{p}{differs}"


def elsewhere(comparison: Comparison) -> str:
    """Every pair with another machine that is not the reference's, counted; empty if none is."""
    one, near = comparison.reference, here(comparison)
    pairs = [
        pair
        for pair in comparison.parity
        if pair.kind != "unavailable" and pair.one != one and pair not in near
    ]
    if not pairs:
        return ""
    kinds = Counter(pair.kind for pair in pairs)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    unlike = [f"{pair.one} and {pair.other}" for pair in pairs if pair.kind == "different"]
    named = f" (different: {few(unlike)})" if unlike else ""
    return f"Of {len(pairs)} pairs without {one}: {said}{named}."

"""Turns numbers into words, the same in Markdown and on the page."""

from collections import Counter

from benchmark.common import modes, numbers
from benchmark.common.formatting import p_value
from benchmark.common.modes import MODES
from benchmark.common.numbers import duration, percent
from benchmark.common.statistics import Interval
from benchmark.report.comparison_schema import (
    Comparison,
    Cost,
    Entry,
    NamedParity,
    RelativeSpeed,
    TrainingEntry,
)
from benchmark.report.entries import title
from benchmark.report.headline import few
from benchmark.report.sessions import LEAST
from benchmark.throughput.schema import (
    BatchCurve,
    Energy,
    NotMeasured,
    Runtime,
    StepShares,
    SweepPoint,
    Throughput,
)

INTERVALS = (
    "The interval of a speed covers the differences between the processes of one session. Another "
    "session on the same machine may be faster or slower. The interval of a ratio covers that too, "
    "where three sessions of the same code are recorded for both. The interval of an accuracy "
    "covers the choice of test images, for the one model that was trained."
)
PAIRS = (
    "A line about two accelerators compares two trained models, one training of each. A difference "
    "of accuracies is the second's less the first's. Both models answered the same images, so a "
    "difference can be detected although their own intervals overlap. Several comparisons share a "
    "risk of 5%, so their intervals are wider than 95%. No difference detected does not mean "
    "equal: the test images may be too few to show one."
)
RATIOS = {key: MODES[mode].ratio for key, (_, mode) in modes.RATIOS.items()}
QUESTIONS = {
    key: MODES[mode].question for key, (_, mode) in modes.RATIOS.items() if MODES[mode].question
}
NO_PRICE = (
    "No price is set. Set one in `params.yaml`, such as `report.price_per_hour: {cpu: 0.40}`, and "
    "run `make repro`: nothing is measured again."
)
COSTS = (
    "The cost of a training includes validation, checkpoints and the test. The cost of a million "
    "images does not."
)
PARTS = {"compute": "computing", "input": "input", "lightning": "Lightning"}
ALTERNATED = (
    "The two alternated, block by block. Below 1 the first is slower, above 1 it is faster. The "
    "loaders do different work: this one delivers bytes, which the device converts; ImageFolder's "
    "delivers floats."
)
PEERS_CAPTION = (
    "Above 1 this suite's Trainer is faster. Each peer trains its own network at the same "
    "precision, image size and batch size, with Adam at the same rate. It only crops and flips "
    "images, and loads with a worker per core. It uses its default memory format and any kernels. "
    "It runs in its own processes with its users' settings of memory and threads."
)
EFFICIENCY = (
    "Utilisation: training FLOP/s over the best rate that convolutions and matrix products reached "
    "on this device. The next column divides by the peak that the vendor publishes for this device "
    "and precision (dense). Lightning's overhead was measured with a model that computes next to "
    "nothing. Decoding: building the decode cache, once."
)
CURVE = (
    "The batch size doubles from the run's own; each size alternates with it, block by block. The "
    "last doubling that gained 5% gives the fastest size, if that is more than a tenth above the "
    "run's rate. New processes then measure it, so that no chance of the search remains. Another "
    "batch size trains another result: only rates of the run belong to the accuracies of this "
    "report."
)
DIGESTS = (
    "Equal digests prove that accelerators began with the same weights and saw the same samples in "
    "the same order. The digests of pixels cover the first batches."
)
MACHINES = (
    "The fastest first. A machine's name is a digest of its hardware. Each result is compared with "
    "the reference's: bits and test accuracy."
)
WAITING = {
    "default": "follow OpenMP's default",
    "active": "spin (OMP_WAIT_POLICY=active)",
    "passive": "sleep (OMP_WAIT_POLICY=passive), which leaves other work its share",
}


def goal(target: float) -> str:
    """Format a target accuracy in percent, without trailing zeros."""
    return f"{100 * target:g}%"


def relative_speed(speed: RelativeSpeed) -> str:
    """Return the ratio to the reference's rate with its interval, or why it is missing."""
    if speed.not_compared:
        return f"not compared: {speed.not_compared}"
    if speed.ratio is None:
        return "the reference"
    words = numbers.interval(speed.ratio)
    return words if speed.detectable else f"no difference detected: {words}"


def ratio(interval: Interval | None) -> str:
    """Format a ratio with its interval; "not measured" for None."""
    return numbers.interval(interval) if interval else "not measured"


def rate(throughput: Throughput) -> str:
    """Return images per second with their interval, and a warning if they are unstable."""
    words = numbers.interval(throughput.images_per_second)
    return words if throughput.verdict.stable else f"{words}, unstable"


def best_rate(throughput: Throughput) -> str:
    """Return the rate at the fastest batch size with that size and the memory, or why not."""
    best = throughput.best_images_per_second
    if best:
        memory = _memory_at_best(throughput)
        return f"{numbers.interval(best)} at batch size {throughput.best_batch_size:,}, {memory}"
    curve = throughput.curve
    if curve is None:
        return "not measured"
    return f"not measured: {curve.reason or 'a larger batch takes too long'}"


def _memory_at_best(throughput: Throughput) -> str:
    best = throughput.curve and throughput.curve.best
    memory = best.memory if best else throughput.efficiency.peak_memory
    size = memory.host_bytes if memory.device_bytes is None else memory.device_bytes
    return numbers.size(size)


def batch_curve(curve: BatchCurve, throughput: Throughput) -> str:
    """Return two sentences: the fastest batch size, and why no larger one was measured."""
    size = throughput.workload.batch_size
    last = curve.points[-1].batch_size if curve.points else size
    ends = {
        "gain": f"A batch of {last:,} gains less than 5% over half of it.",
        "memory": f"A batch of {2 * last:,} does not fit into memory.",
        "time": f"A batch of {2 * last:,} would take longer than throughput.curve_seconds.",
        "failed": f"Not measured further: {curve.reason}",
    }
    if best := curve.best:
        words = (
            f"at batch size {best.batch_size:,} it trains {numbers.interval(best.ratio)} times as "
            f"many images/s as at {size:,}, with {_memory_at_best(throughput)} of memory."
        )
    elif curve.points:
        words = (
            f"no larger batch is known to train more than a tenth faster than the run's {size:,}."
        )
    else:
        words = f"no batch larger than the run's {size:,} was measured."
    return f"{words} {ends[curve.end]}"


def share(interval: Interval | None) -> str:
    """Format a share of 1 in percent with its interval; "unavailable" for None."""
    if interval is None:
        return "unavailable"
    middle, low, high = map(percent, (interval.estimate, interval.low, interval.high))
    return f"{middle} ({low} to {high})"


def sureness(entry: Entry) -> str:
    """Return three sentences: disturbances, width of the intervals, spread between sessions."""
    width = entry.throughput.interval_width
    after, target = duration(width.seconds), goal(width.target)
    if width.met:
        widest = f"Stopped after {after}: every interval is at most {target} wide."
    else:
        name = "the rate" if width.widest == "trainer" else RATIOS.get(width.widest, width.widest)
        widest = f"After {after} the interval of {name} is {width.width:,.1%} wide, not {target}."
    if spread := entry.session_spread:
        sessions = (
            f"Rates of {spread.sessions} sessions have a standard deviation of "
            f"{spread.deviation:.1%}."
        )
    else:
        sessions = (
            f"How much sessions differ is not known: {LEAST} recorded sessions of the same code "
            "are needed."
        )
    return f"{entry.throughput.verdict}. {widest} {sessions}"


def limit(steps: StepShares) -> str:
    """Return a sentence that names what takes most of a step."""
    name, most = max(steps, key=lambda item: item[1].estimate)
    return f"{PARTS[name]} limits the speed: it takes {percent(most.estimate)} of a training step."


def shares(steps: StepShares) -> str:
    """Return every share of a step with its interval."""
    return ", ".join(step_share(interval, name) for name, interval in steps)


def step_share(interval: Interval, name: str) -> str:
    """Return one share of a step with its interval."""
    return f"{PARTS[name]} {share(interval)}"


def efficiency(throughput: Throughput) -> list[str]:
    """Return the cells of a row of the table "Efficiency", without the accelerator's name."""
    figures, times = throughput.efficiency, throughput.trainer
    memory, overhead, decoding = figures.peak_memory, times.overhead, figures.decoding
    size = memory.device_bytes
    device = f"unavailable: {memory.device_reason}" if size is None else numbers.size(size)
    first_step = numbers.interval(times.first_step_seconds, "s")
    if times.compile_seconds:
        first_step += f", and {duration(times.compile_seconds)} of compiling"
    if isinstance(overhead, NotMeasured):
        added = f"unavailable: {overhead.reason}"
    else:
        step, epoch = overhead.seconds_per_step, overhead.seconds_per_epoch
        added = f"{duration(step)} a step, {duration(epoch)} an epoch"
    return [
        share(figures.utilisation),
        share(figures.vendor_utilisation) if figures.vendor_utilisation else "unknown",
        f"host {numbers.size(memory.host_bytes)}, device {device}",
        first_step,
        added,
        f"unavailable: {decoding.reason}"
        if isinstance(decoding, NotMeasured)
        else numbers.interval(decoding),
    ]


def process_settings(label: str, runtime: Runtime) -> str:
    """Return the settings of an accelerator's measuring processes in a sentence."""
    spin = f"spin {runtime.wait_policy} times, then sleep (GOMP_SPINCOUNT)"
    pages = "huge pages" if runtime.huge_pages else "pages of ordinary size"
    workers = runtime.capped_workers
    capped = f"; ImageFolder with {workers} workers, as open files were limited" if workers else ""
    return (
        f"Processes on {label}: Adam's implementation {runtime.adam}; large tensors in {pages}; "
        f"threads that wait for each other {WAITING.get(runtime.wait_policy, spin)}{capped}."
    )


def course(label: str, training: TrainingEntry) -> str:
    """Return the training loss of the first and the last step in words."""
    first, last = (
        "not finite" if loss is None else f"{loss:.3g}"
        for loss in (training.first_loss, training.last_loss)
    )
    return f"{label} from {first} to {last} in {training.result.steps} steps"


def to_target(training: TrainingEntry) -> str:
    """Return time and images to the target accuracy, or the time in which it was not reached."""
    if training.to_target is None:
        return f"not reached in {duration(training.seconds)}"
    return f"{duration(training.to_target.seconds)}, {training.to_target.images:,} images"


def energy_per_image(energy: Energy) -> str:
    """Return the energy of one training image, or why it is unknown."""
    if energy.joules_per_image is None:
        return f"unavailable: {energy.reason}"
    return numbers.interval(energy.joules_per_image, "J")


def costs(cost: Cost | None) -> list[str]:
    """Return four cells: the price, and the costs of a million images, the training, the target."""
    if cost is None:
        return ["no price"] * 4
    currency = cost.price.currency
    return [
        f"{numbers.number(cost.price.per_hour)} {currency} an hour",
        numbers.interval(cost.per_million_images, currency),
        f"{numbers.number(cost.training)} {currency}",
        "not reached" if cost.to_target is None else f"{numbers.number(cost.to_target)} {currency}",
    ]


def changes(point: SweepPoint) -> str:
    """Return the settings of a point of a sweep, such as `batch_size 64, devices 2`."""
    return ", ".join(f"{name} {value}" for name, value in point.changes.items())


def outcome(point: SweepPoint, accelerator: str) -> tuple[str, str]:
    """Return a point's rate and its ratio to the run's own settings, or why they are missing.

    Several devices also have a scaling efficiency: the ratio over their number. Processes on one
    CPU share it, so `cpu` has none.
    """
    if point.images_per_second is None:
        return f"{point.status}: {point.reason}", "-"
    words = ratio(point.ratio) if point.ratio else str(point.reason)
    if point.devices > 1 and point.ratio and accelerator != "cpu":
        words += f"; scaling efficiency {point.ratio.estimate / point.devices:.0%}"
    return numbers.interval(point.images_per_second), words


def replayed(run: TrainingEntry) -> str:
    """Return whether the replay was equal, and if not, where it differs."""
    if run.replay.bitwise:
        return (
            f"reproduced: the first {run.replay.steps} of {run.result.steps} steps, repeated in a "
            "new process, are equal bit for bit"
        )
    return f"not reproduced: {run.replay}"


def results(comparison: Comparison) -> list[str]:
    """Return the parity of each entry of another machine with the reference, in a few words."""
    pairs = {pair.other: pair for pair in comparison.parity if pair.one == comparison.reference}
    names = [title(entry) for entry in comparison.machines]
    return [_short(pairs[name]) if name in pairs else "the reference" for name in names]


def _short(pair: NamedParity) -> str:
    if pair.kind == "not compared":
        return pair.claim
    p = "" if pair.p_value is None else f" ({p_value(pair.p_value)})"
    step = pair.first_different_step
    return f"{pair.kind}{p}" + (f", first different bit at step {step}" if step else "")


def other_pairs(comparison: Comparison) -> str:
    """Return the counts of each kind of parity, in a sentence; empty without pairs.

    Pairs of this machine, and pairs with the reference, are not counted: the report lists them.
    """
    pairs = [
        pair
        for pair in comparison.parity
        if pair.kind != "unavailable"
        and pair.one != comparison.reference
        and pair not in comparison.local_pairs
    ]
    if not pairs:
        return ""
    kinds = Counter(pair.kind for pair in pairs)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    different = [f"{pair.one} and {pair.other}" for pair in pairs if pair.kind == "different"]
    names = f" (different: {few(different)})" if different else ""
    return f"Of {len(pairs)} comparisons without {comparison.reference}: {counts}{names}."

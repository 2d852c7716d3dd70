"""Figures in words, the same in Markdown and on the page."""

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmark.common import numbers
from benchmark.common.formatting import p_value
from benchmark.common.numbers import duration
from benchmark.common.statistics import Interval
from benchmark.report.entries import title
from benchmark.report.headline import few
from benchmark.report.schema import Accuracy, Comparison, Cost, Entry, Pair, Speed, TrainingEntry
from benchmark.throughput.schema import Energy, Memory, NotMeasured, Overhead, Precision
from benchmark.training.schema import Replay

INTERVALS = (
    "Brackets are 95 % intervals. That of a speed is of the median process of one session of "
    "measuring. Another session on the same machine may be faster or slower; a ratio's interval "
    "covers that only where three sessions or more of both are recorded. That of an accuracy "
    "covers the choice of test images, for the one model that was trained."
)
PAIRS = (
    "Each claim is about two trained models: one training of each is compared. `No difference "
    "detected` does not mean equal: the test images may be too few to show one."
)
RATIOS = {
    "trainer_over_loop": "Trainer / plain loop",
    "trainer_over_compute": "Trainer / resident batch",
    "trainer_over_baseline": "Trainer / ImageFolder loop",
    "compute_over_nondeterministic": "Deterministic / any kernels, resident batch",
    "input_over_baseline_input": "Loader / ImageFolder loader, per core (bytes / finished floats)",
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


def ratio(found: Interval) -> str:
    """A ratio with its interval."""
    return numbers.interval(found)


def speed(found: Speed) -> str:
    """Images per second with their interval, and a warning if they are not stable."""
    said = rate(found.images_per_second)
    return said if found.verdict.stable else f"{said}, unstable"


def rate(found: Interval) -> str:
    """Images per second with their interval."""
    return numbers.interval(found)


def share(found: Interval | Accuracy | None) -> str:
    """A share with its interval."""
    if found is None:
        return "unavailable"
    return f"{found.estimate:.1%} ({found.low:.1%} to {found.high:.1%})"


def sureness(found: Speed) -> str:
    """Whether something disturbed the measurement, how narrow its intervals are, and how much
    sessions differ."""
    measured = f"measured on {found.date}"
    return f"{found.verdict}; {measured}; {_precision(found.precision)}; {_sessions(found)}"


def _precision(found: Precision) -> str:
    of = "the rate" if found.of == "trainer" else RATIOS[found.of]
    after = f"after {duration(found.seconds)}"
    if found.met:
        return f"every interval at most {found.asked:.0%} wide {after}, as asked"
    return f"the interval of {of} {found.width:.1%} wide {after}, {found.asked:.0%} was asked"


def _sessions(found: Speed) -> str:
    recorded = f"{found.sessions} session{'s' if found.sessions != 1 else ''} recorded"
    if found.session_deviation is None:
        return f"{recorded}, too few to tell how much they differ"
    return f"{recorded}, standard deviation {found.session_deviation:.1%}"


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
    return rate(found) if isinstance(found, Interval) else f"unavailable: {found.reason}"


def commonest(comparison: Comparison) -> str:
    """What an accuracy must be better than; empty where nothing was trained."""
    if not comparison.present:
        return ""
    part = comparison.present[0].training.commonest_class
    return f" Always naming the commonest class would give {part:.1%}."


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
    return f"{numbers.interval(joules, 'J')} an image"


def cost(found: Cost | None) -> str:
    """Of a million images."""
    if found is None:
        return "set report.price_per_hour"
    return numbers.interval(found.per_million_images, found.currency)


def training_cost(found: Cost | None) -> str:
    """Of the whole training, and until the target accuracy."""
    if found is None:
        return "set report.price_per_hour"
    whole = f"{numbers.number(found.training)} {found.currency}"
    if found.to_target is None:
        return f"{whole}, without reaching the target"
    return f"{whole}, {numbers.number(found.to_target)} {found.currency} to the target"


def swept(present: Sequence[Entry]) -> Iterable[tuple[str, str, str, str]]:
    """Accelerator, point, outcome and ratio to the run's own settings of all in the sweeps."""
    for entry in present:
        for point in entry.throughput.sweep:
            what = ", ".join(f"{name} {value}" for name, value in point.changes.items())
            if point.images_per_second is None:
                yield entry.label, what, f"{point.status}: {point.reason}", "-"
            else:
                against = ratio(point.ratio) if point.ratio else str(point.reason)
                yield entry.label, what, rate(point.images_per_second), against


def replayed(found: Replay) -> str:
    """Whether the replay was equal, and if not, where it differs."""
    return f"reproduced: {found}" if found.bitwise else f"not reproduced: {found}"


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
    differs = f", bits differ from step {step} on" if step else ""
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

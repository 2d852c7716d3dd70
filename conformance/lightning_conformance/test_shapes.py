"""Rules: the content of a batch, and the content of an epoch."""

import itertools
import math
from collections.abc import Iterator

from lightning_conformance.observations import (
    NotJudged,
    Observations,
    batch_layout,
    running_fit,
    sample_counts,
    sample_digests,
)
from lightning_conformance.probe import BatchRecord, Epochs, Layout
from lightning_conformance.rules import expect, rule

SPLITS = ("fit", "validate", "test")
MAX_SCALED = 20.0
"""Pixel magnitude from which on images count as not scaled: normalised ones stay below 5."""


@rule(
    why="Changing shapes and dtypes recompile on a TPU, promote to another precision, or fail "
    "in the first validation after hours.",
    fix="End the training and evaluation transforms with the same size and dtype.",
)
def test_every_batch_has_the_same_layout(observations: Observations) -> str | None:
    """Evaluation may lack a tensor of training, such as labels, or have one more.

    It may not have a tensor instead of another one of the same dtype or shape.
    """
    kind = observations.kind
    layouts: dict[tuple[Layout, ...], str] = {}
    remark = None
    for place, step in _steps(observations, ("fit",)):
        layouts.setdefault(batch_layout(step, kind), place)
    texts = [f"{place} has {', '.join(map(str, layout))}" for layout, place in layouts.items()]
    expect(len(layouts) == 1, "; ".join(texts))
    (layout,) = layouts
    for place, step in _steps(observations, observations.stages[1:]):
        parts = batch_layout(step, kind)
        unexpected = [part for part in parts if part not in layout]
        missing = [part for part in layout if part not in parts]
        changed = any(_resemble(*pair) for pair in itertools.product(unexpected, missing))
        seen = f"{place} has {', '.join(map(str, unexpected))}; {texts[0]}"
        expect(not changed, seen)
        remark = remark or (f"a tensor that training does not have: {seen}" if unexpected else None)
    return remark


@rule(
    why="Images and labels of one batch belong together by position.",
    fix="Return them from one __getitem__, and stack both in collate_fn.",
    requires=running_fit,
)
def test_the_tensors_of_a_batch_have_one_length(observations: Observations) -> None:
    if observations.kind == "graphs":
        raise NotJudged("graphs have different numbers of nodes and edges")
    for stage, passes in _passes(observations):
        steps = [step for epoch in passes for step in epoch]
        for loader in {step.loader for step in steps}:
            lengths = [step.lengths for step in steps if step.loader == loader]
            sizes = [step.size for step in steps if step.loader == loader]
            seen = ", ".join(sorted({str(numbers) for numbers in lengths}, reverse=True))
            expect(_are_consistent(lengths, sizes), f"batches of {stage} have lengths {seen}")
    for place, step in _steps(observations):
        if len(set(step.lengths)) > 1:
            raise NotJudged(f"{place} has lengths {step.lengths}, in fixed proportion")


@rule(
    why="Throughput, batch norm and the learning rate depend on the batch size.",
    fix="Let one loader fill its batches; only the last of an epoch may be smaller.",
    requires=running_fit,
)
def test_only_the_last_batch_is_smaller(observations: Observations) -> str | None:
    """If the dataset returns whole batches, the order decides which of them is the smaller one."""
    remark = None
    for stage, passes in _passes(observations):
        for steps in passes:
            if not all(step.countable for step in steps):
                continue
            sizes = [step.size for step in steps if step.loader == 0]
            if all(step.samples is None for step in steps):
                sizes.sort(reverse=True)
            full = all(size == sizes[0] for size in sizes[:-1]) and sizes[-1] <= sizes[0]
            expect(full or stage != "fit", f"{stage} has batches of {sizes}")
            if not full:
                remark = f"{stage} has batches of {sizes}: take its metrics over samples"
    return remark


@rule(
    why="A NaN spreads to every weight in one step, and pre-trained weights do not expect raw "
    "0..255 pixels.",
    fix="ToDtype(torch.float32, scale=True), then Normalize(mean, std).",
    requires=running_fit,
)
def test_images_are_finite_and_scaled(observations: Observations) -> None:
    if not any(step.images for _, step in _steps(observations)):
        raise NotJudged("no batch has a float tensor of four dimensions")
    for place, step in _steps(observations):
        for minimum, maximum in step.images:
            scaled = math.isfinite(minimum) and -MAX_SCALED < minimum <= maximum < MAX_SCALED
            expect(scaled, f"{place} has values from {minimum:.6g} to {maximum:.6g}")


@rule(
    why="cross_entropy takes int64 classes 0 to k - 1: a gap is a logit that never learns, and "
    "a label of k fails, on a GPU without a usable message.",
    fix="Number the sorted class names with enumerate, from 0.",
    requires=running_fit,
)
def test_labels_count_from_zero(observations: Observations) -> None:
    labels = set(_labels(observations, observations.default_fit.train))
    expect(labels == set(range(len(labels))), f"{_list(labels)} in training")
    dtypes = {str(step.labels.dtype) for _, step in _steps(observations) if step.labels is not None}
    expect(dtypes == {"torch.int64"}, f"labels of {', '.join(sorted(dtypes))}")


@rule(
    why="The model never learns a class that is not in training, and the test metric ignores a "
    "class that is not in the test.",
    fix="Shuffle or stratify before cutting; no drop_last if samples are sorted by class.",
    requires=running_fit,
)
def test_every_pass_shows_every_class(observations: Observations) -> None:
    stages = dict(_passes(observations))
    classes = set().union(*(_labels(observations, passes) for passes in stages.values()))
    for stage, passes in stages.items():
        for number, steps in enumerate(passes):
            missing = classes - set(_labels(observations, [steps]))
            expect(not missing, f"pass {number} of {stage} lacks class {_list(missing)}")


@rule(
    why="A metric over only some of the test samples is a different metric.",
    fix="drop_last=False in the loaders of validation, test and prediction.",
    requires=running_fit,
)
def test_evaluation_sees_every_sample(observations: Observations) -> None:
    judged = False
    for stage in observations.stages[1:]:
        run = observations.stage_or_after_fit(stage)
        steps, expected = run.passes[stage][0], run.dataset_sizes.get(stage)
        if expected is not None and all(step.countable for step in steps):
            judged = True
            (count,) = sample_counts([steps])
            expect(count == expected, f"{stage} gets {count} of {expected} samples")
    if not judged:
        raise NotJudged("no evaluation data have samples that can be counted")


@rule(
    why="The metric of a sample that was used in training, or to choose a model, says nothing "
    "about new samples.",
    fix="Split once, by fixed indices or with a seeded generator, and never in a loader hook.",
)
def test_splits_are_disjoint(observations: Observations) -> None:
    """Random training samples are not compared: augmentation hides which sample it is."""
    samples = observations.all_stages.samples
    first, second = map(set, sample_digests(observations.default_fit.train))
    augmented = len(set(observations.default_fit.repeated_reads)) > 1 or first != second
    stages = [
        stage for stage in SPLITS if samples.get(stage) and not (augmented and stage == "fit")
    ]
    if len(stages) < 2:
        raise NotJudged("it does not have two splits whose samples can be read unaugmented")
    if any(len(set(samples[stage])) < len(samples[stage]) for stage in stages):
        raise NotJudged("samples repeat within a split")
    if observations.kind == "graphs" and all(len(samples[stage]) == 1 for stage in stages):
        raise NotJudged("each split is one graph, and masks may select different nodes")
    for one, other in itertools.combinations(stages, 2):
        common = len(set(samples[one]) & set(samples[other]))
        total = len(samples[other])
        expect(not common, f"{common} of {total} samples of {other} are in {one} too")


@rule(
    why="An epoch is one pass over the data, and runs are compared by epochs.",
    fix="Sample without replacement; let drop_last drop less than one batch.",
    requires=running_fit,
)
def test_training_sees_every_sample_once(observations: Observations) -> None:
    default_fit = observations.default_fit
    order, size = default_fit.order, default_fit.dataset_sizes.get("fit")
    if order is None or size is None:
        raise NotJudged("the training samples can't be counted, or have no sampler")
    counts, batch = sample_counts(default_fit.train), default_fit.train[0][0].size
    complete = all(size - batch < count <= size for count in counts)
    expect(complete, f"epochs of {counts} samples, in batches of {batch}, from {size}")
    repetitions = default_fit.repetitions
    expect(repetitions == 0, f"{repetitions} of {len(order)} samples of an epoch are repetitions")


def _resemble(one: Layout, other: Layout) -> bool:
    return one.dtype == other.dtype or one.shape == other.shape


def _are_consistent(lengths: list[tuple[int, ...]], sizes: list[int]) -> bool:
    """Return whether each tensor has so many rows for each sample, or so many in each batch.

    `lengths` are those of the tensors of each batch, and `sizes` the numbers of samples.
    """
    if all(len(set(numbers)) <= 1 for numbers in lengths):
        return True
    return len(set(map(len, lengths))) == 1 and all(
        len(set(column)) == 1
        or all(
            size and rows % size == 0 and rows // size == column[0] // sizes[0]
            for rows, size in zip(column, sizes, strict=True)
        )
        for column in zip(*lengths, strict=True)
    )


def _passes(observations: Observations) -> Iterator[tuple[str, Epochs]]:
    for stage in observations.stages:
        yield stage, observations.stage_or_after_fit(stage).passes[stage]


def _steps(
    observations: Observations, stages: tuple[str, ...] | None = None
) -> Iterator[tuple[str, BatchRecord]]:
    """Yield the batches of the given stages (by default all), each after its place in words."""
    for stage, passes in _passes(observations):
        if stages is not None and stage not in stages:
            continue
        for epoch, steps in enumerate(passes):
            for number, step in enumerate(steps):
                yield f"batch {number} of pass {epoch} of {stage}", step


def _labels(observations: Observations, passes: Epochs) -> list[int]:
    """Return all labels of the passes, or raise NotJudged if there are none."""
    if labels := observations.labels(passes):
        return labels
    raise NotJudged("no labels of classes in batch[1] or batch['labels']")


def _list(numbers: set[int]) -> str:
    ordered = sorted(numbers)
    return ", ".join(map(str, ordered[:20])) + (", ..." if len(ordered) > 20 else "")

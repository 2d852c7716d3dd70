"""What a batch holds, and what an epoch holds."""

import itertools
import math
from collections.abc import Iterator

import pytest
import torch

from datamodule_conformance.observations import Observations, counts, layout, samples
from datamodule_conformance.probe import Layout, Step
from datamodule_conformance.rules import expect, rule

SPLITS = ("fit", "validate", "test")
ALONE = "there are no two splits whose samples can be read, unaugmented"
REPEATED = "samples repeat within a split"
MASKED = "each split is one graph, and what is apart may be nodes of it"
SCALED = 20.0
"""Beyond this a float image was not scaled: normalised ones lie within 5, raw ones reach 255."""


@rule(
    why="Shapes and dtypes that change compile anew on a TPU, promote to another precision, or "
    "fail in the first validation, hours in.",
    fix="End the training and evaluation transforms with the same size and dtype.",
)
def test_every_batch_has_the_same_layout(judgeable: Observations) -> None:
    """Evaluation may lack a part: labels, or what a second training loader gives."""
    places: dict[tuple[Layout, ...], str] = {}
    for place, step in _steps(judgeable, ("fit",)):
        places.setdefault(layout(step, judgeable.kind), place)
    parts = [f"{place} has {', '.join(map(str, found))}" for found, place in places.items()]
    expect(len(places) == 1, "; ".join(parts))
    for place, step in _steps(judgeable, judgeable.stages[1:]):
        others = [part for part in layout(step, judgeable.kind) if part not in next(iter(places))]
        expect(not others, f"{place} has {', '.join(map(str, others))}; {parts[0]}")


@rule(
    why="Images and labels of one batch belong together by position.",
    fix="Return them from one __getitem__, and let collate_fn stack them alike.",
)
def test_the_tensors_of_a_batch_have_one_length(running: Observations) -> None:
    if running.kind == "graphs":
        pytest.skip("not judged: nodes and edges of graphs have lengths of their own")
    for place, step in _steps(running):
        expect(len(set(step.lengths)) <= 1, f"{place} has lengths {step.lengths}")


@rule(
    why="Throughput, batch norm and the learning rate are those of the batch size.",
    fix="Let one loader fill its batches; only the last of an epoch may be smaller.",
)
def test_only_the_last_batch_is_smaller(running: Observations) -> None:
    for stage, passes in _passes(running):
        for steps in passes:
            if not all(step.counted for step in steps):
                continue
            lengths = [step.size for step in steps if step.loader == 0]
            full = all(length == lengths[0] for length in lengths[:-1])
            expect(full and lengths[-1] <= lengths[0], f"{stage} has batches of {lengths}")


@rule(
    why="A NaN spreads to every weight in one step, and raw 0..255 pixels are no input that "
    "pre-trained weights know.",
    fix="ToDtype(torch.float32, scale=True), then Normalize(mean, std).",
)
def test_images_are_finite_and_scaled(running: Observations) -> None:
    if not any(step.images for _, step in _steps(running)):
        pytest.skip("not judged: no batch has a float tensor of four dimensions")
    for place, step in _steps(running):
        for least, most in step.images:
            inside = math.isfinite(least) and -SCALED < least <= most < SCALED
            expect(inside, f"{place} has values from {least:.6g} to {most:.6g}")


@rule(
    why="cross_entropy takes int64 classes 0 to k - 1: a gap is a logit that never learns, and "
    "a label of k fails, on a GPU without a usable message.",
    fix="Number the sorted class names with enumerate, from 0.",
)
def test_labels_count_from_zero(running: Observations) -> None:
    found = set(_labels(running.plain.train))
    expect(found == set(range(len(found))), f"{_list(found)} in training")
    dtypes = {str(step.labels.dtype) for _, step in _steps(running) if step.labels is not None}
    expect(dtypes == {"torch.int64"}, f"labels of {', '.join(sorted(dtypes))}")


@rule(
    why="A class that is never shown is never learned, and one that is never tested hides it.",
    fix="Shuffle or stratify before cutting; no drop_last where samples come class by class.",
)
def test_every_pass_shows_every_class(running: Observations) -> None:
    stages = dict(_passes(running))
    classes = set().union(*(_labels(passes) for passes in stages.values()))
    for stage, passes in stages.items():
        for number, steps in enumerate(passes):
            missing = classes - set(_labels([steps]))
            expect(not missing, f"pass {number} of {stage} shows none of class {_list(missing)}")


@rule(
    why="A metric over a part of the test set is another metric.",
    fix="drop_last=False in the loaders of validation, test and prediction.",
)
def test_evaluation_sees_every_sample(running: Observations) -> None:
    judged = 0
    for stage in running.stages[1:]:
        seen = running.shown(stage)
        counted = all(step.counted for step in seen.passes[stage][0])
        expected = seen.sizes.get(stage) if counted else None
        judged += expected is not None
        found = counts(seen.passes[stage])[0]
        expect(expected in (None, found), f"{stage} shows {found} of {expected} samples")
    if not judged:
        pytest.skip("not judged: no evaluation data are counted samples")


@rule(
    why="A sample that was trained on, or chosen by, says nothing about those that were not.",
    fix="Split once, by fixed indices or with a generator of its own, and never in a loader hook.",
)
def test_splits_are_disjoint(judgeable: Observations) -> None:
    """What is random in a training sample hides whether it is one of the others."""
    found = judgeable.together.samples
    hidden = len(set(judgeable.plain.reads)) > 1 or _is_augmented(judgeable)
    stages = [stage for stage in SPLITS if found.get(stage) and not (hidden and stage == "fit")]
    pairs = list(itertools.combinations(stages, 2))
    if not pairs:
        pytest.skip(f"not judged: {ALONE}")
    if any(len(set(found[stage])) < len(found[stage]) for stage in stages):
        pytest.skip(f"not judged: {REPEATED}")
    if judgeable.kind == "graphs" and all(len(found[stage]) == 1 for stage in stages):
        pytest.skip(f"not judged: {MASKED}")
    for one, other in pairs:
        both = len(set(found[one]) & set(found[other]))
        expect(not both, f"{both} of {len(found[other])} samples of {other} are in {one} too")


@rule(
    why="An epoch is one pass over the data: comparisons by epoch count on it.",
    fix="Sample without replacement; let drop_last drop less than one batch.",
)
def test_training_sees_every_sample_once(running: Observations) -> None:
    order, size = running.plain.order, running.plain.sizes.get("fit")
    if order is None or size is None:
        pytest.skip("not judged: the training data are no counted samples, or have no sampler")
    epochs = counts(running.plain.train)
    batch = running.plain.train[0][0].size
    short = [count for count in epochs if not size - batch < count <= size]
    expect(not short, f"epochs of {epochs} samples, in batches of {batch}, from {size}")
    again = running.plain.repetitions
    expect(again == 0, f"{again} of {len(order)} samples of an epoch are repetitions")


def _is_augmented(observations: Observations) -> bool:
    one, other = map(set, samples(observations.plain.train))
    return one != other


def _passes(observations: Observations) -> Iterator[tuple[str, list[list[Step]]]]:
    """Each stage with its passes, evaluation alone where it runs so."""
    for stage in observations.stages:
        yield stage, observations.shown(stage).passes[stage]


def _steps(
    observations: Observations, stages: tuple[str, ...] | None = None
) -> Iterator[tuple[str, Step]]:
    """Each step with its place."""
    for stage, passes in _passes(observations):
        if stages is not None and stage not in stages:
            continue
        for epoch, steps in enumerate(passes):
            for number, step in enumerate(steps):
                yield f"batch {number} of pass {epoch} of {stage}", step


def _labels(passes: list[list[Step]]) -> list[int]:
    found = [step.labels for steps in passes for step in steps if step.labels is not None]
    if not found:
        pytest.skip("not judged: labels were not found: batch[1], or batch['labels']")
    return torch.cat(found).tolist()


def _list(numbers: set[int]) -> str:
    shown = sorted(numbers)
    return ", ".join(map(str, shown[:20])) + (", ..." if len(shown) > 20 else "")

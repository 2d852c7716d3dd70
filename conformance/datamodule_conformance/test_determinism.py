"""The same samples, bit for bit and in the same order, whatever should not matter."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from datamodule_conformance.observations import (
    FAILS,
    NO_FIT,
    PREPARED,
    UNREPEATABLE,
    Observations,
    counts,
    difference,
    require_judgeable,
    samples,
)
from datamodule_conformance.probe import Step
from datamodule_conformance.rules import expect, rule

ORDER = (
    "Let the order be a function of (seed, epoch): a sampler with set_epoch, such as "
    "DistributedSampler(dataset, num_replicas=world, rank=rank, seed=seed)."
)
MANY = 1000.0
"""Orders that an epoch could be in, from which on two are not in the same one by chance."""
FEW = "not judged: so few samples, or labels, are in the same order by chance"
UNTOLD = "not judged: samples differ, and there are no labels that would tell their order"
AUGMENTATION = "Draw augmentation from a generator made of (seed, epoch, index) for each sample."


def _same(observations: Observations, what: str, **changes: Any) -> None:
    parted = difference(observations.plain.train, observations.observe(**changes).train)
    expect(parted is None, f"{what}: {parted}")


@rule(
    why="A result that can't be had again is an anecdote.",
    fix=f"{ORDER} {AUGMENTATION}",
)
def test_the_same_seed_gives_the_same_batches(observations: Observations) -> None:
    if observations.obstacle in (NO_FIT, FAILS, UNREPEATABLE):
        pytest.skip(f"not judged: {observations.obstacle}")
    if observations.obstacle and _repeats_with_its_workers(observations):
        pytest.skip("not judged: it can be repeated with its own workers alone")
    _same(observations, "two fits of one seed", prepared=PREPARED)


@pytest.mark.slow
@rule(
    why="Texts hash differently in each process, and folders list in any order: labels taken "
    "from a set() or from os.listdir() are others tomorrow.",
    fix="sorted(...) around names and paths.",
)
def test_a_fresh_process_sees_the_same(judgeable: Observations) -> None:
    """In another process and another file system's order."""
    (seen,) = judgeable.observe_in_processes(relisted=True)
    parted = difference(judgeable.plain.train, seen.train)
    expect(parted is None, f"a fit in another process: {parted}")


@rule(
    why="Runs of several seeds measure how sure a result is; if the seed does not reach the "
    "data they agree too well.",
    fix="Take a seed in __init__ and use it for the order and the augmentation.",
)
def test_another_seed_gives_another_order(judgeable: Observations) -> None:
    parted = difference(judgeable.plain.train, judgeable.observe(seed=2).train)
    if parted is None and _orders(samples(judgeable.plain.train)[0]) < MANY:
        pytest.skip(FEW)
    expect(parted is not None, "seeds 1 and 2 give the same batches")


@rule(
    why="The same order in each epoch puts the same samples together in each batch, and learns "
    "worse.",
    fix=f"{ORDER} Lightning calls set_epoch only on the sampler of the loader that it was given.",
)
def test_each_epoch_has_its_own_order(judgeable: Observations) -> None:
    """Where samples differ, their labels tell the order."""
    found: list[list[Any]] = samples(judgeable.plain.train)
    what = "samples"
    if sorted(found[0]) != sorted(found[1]):
        found, what = [_labels(epoch) for epoch in judgeable.plain.train], "labels"
    one, other = found
    if one == other and _orders(one) < MANY:
        pytest.skip(FEW if one else UNTOLD)
    expect(one != other, f"epochs 0 and 1 have their {len(one)} {what} in the same order")


@rule(
    why="Augmentation that repeats is a fixed, smaller change of the data; worker processes "
    "that start from one seed in each epoch do it unnoticed.",
    fix=f"{AUGMENTATION} If none is meant: --datamodule-unaugmented.",
)
def test_augmentation_differs_between_epochs(judgeable: Observations) -> None:
    one, other = map(set, samples(judgeable.plain.train))
    if not judgeable.source.augmented:
        expect(one == other, f"{len(one - other)} samples of epoch 0 look otherwise in epoch 1")
        return
    if one == other and not _is_random(judgeable):
        pytest.skip("not judged: nothing is random in a training sample")
    expect(one != other, f"all {len(one)} samples are the same bit for bit in epochs 0 and 1")


@rule(
    why="What is read once more is another sample: epochs, workers and runs see other data.",
    fix=f"Return a copy; change nothing in place, keep no count. {AUGMENTATION}",
)
def test_reading_a_sample_changes_nothing(judgeable: Observations) -> None:
    reads = judgeable.plain.reads
    if not reads or reads[0] is None:
        pytest.skip("not judged: there is no dataset that gives one sample by its name")
    expect(reads[0] == reads[1], "one sample, read twice from one state of the generators, differs")


@rule(
    why="A metric moves from epoch to epoch though the model stands still, and predictions "
    "can't be put beside their files.",
    fix="No shuffle and no random transforms in the loaders of evaluation.",
)
def test_evaluation_repeats(judgeable: Observations) -> None:
    """Each validation of a fit, and of test and prediction the order, alone and after a fit."""
    if not judgeable.stages[1:]:
        pytest.skip("not judged: it has no stage but fit")
    passes = judgeable.plain.passes.get("validate", [])
    for number, steps in enumerate(passes[1:], 1):
        parted = difference(passes[:1], [steps])
        expect(parted is None, f"validations 0 and {number}: {parted}")
    for stage in judgeable.stages[1:]:
        pair = [judgeable.shown(stage), judgeable.together]
        one, other = samples([seen.passes[stage][-1] for seen in pair])
        shuffled = one != other and sorted(one) == sorted(other)
        expect(not shuffled, f"{stage} alone and after a fit: the same samples in another order")


@rule(
    why="The number of workers is a matter of the machine's cores, never of the result.",
    fix=f"{AUGMENTATION} {ORDER}",
)
def test_workers_change_nothing(running: Observations) -> None:
    if not running.plain.workers:
        pytest.skip("not judged: its training loader is no DataLoader, and has no num_workers")
    repeats = running.obstacle is not None and _repeats_with_its_workers(running)
    expect(not repeats, "two fits of one seed are equal with its own workers, and differ with 0")
    require_judgeable(running)
    _same(running, "0 workers and 2", workers=2)


@rule(
    why="A fit with fewer validations, or none, is not comparable with the others.",
    fix=f"{ORDER} {AUGMENTATION}",
)
def test_validation_changes_nothing(judgeable: Observations) -> None:
    _needs_validation(judgeable)
    _same(judgeable, "with validation and without", trainer=(("limit_val_batches", 0),))


@rule(
    why="The sanity check is a matter of convenience.",
    fix="Keep no count of batches or epochs in the dataset.",
)
def test_the_sanity_check_changes_nothing(judgeable: Observations) -> None:
    _needs_validation(judgeable)
    _same(judgeable, "with a sanity check and without", trainer=(("num_sanity_val_steps", 2),))


@rule(
    why="Two models, one with dropout and one without, would be compared on other batches.",
    fix=f"{ORDER} {AUGMENTATION}",
)
def test_draws_of_the_model_change_nothing(judgeable: Observations) -> None:
    _same(judgeable, "with a model that draws random numbers and without", draws=True)


@rule(
    why="What the data draws from the global generators changes the model's dropout.",
    fix=AUGMENTATION,
)
def test_loading_leaves_the_global_generators_alone(judgeable: Observations) -> None:
    pairs = [pair for epoch in judgeable.plain.train for pair in itertools.pairwise(epoch)]
    if not pairs:
        pytest.skip("not judged: an epoch has one step only")
    for before, after in pairs:
        moved = [n for n, state in before.generators.items() if state != after.generators[n]]
        expect(not moved, f"loading a batch draws from the global generator of {', '.join(moved)}")


@pytest.mark.slow
@rule(
    why="A preempted run must end where an uninterrupted one does, not train on epoch 0 again.",
    fix=f"{ORDER} A generator that runs on must be kept in state_dict.",
)
def test_a_resumed_run_goes_on_in_its_epoch(judgeable: Observations) -> None:
    """In three fresh processes, seeded alike, as people resume."""
    (whole,) = judgeable.observe_in_processes()
    (first,) = judgeable.observe_in_processes(stages=("first",))
    saved = first.checkpoint
    (resumed,) = judgeable.observe_in_processes(stages=("resume",), checkpoint=saved)
    parted = difference(whole.train, first.train + resumed.train)
    expect(parted is None, f"a whole fit and one resumed after epoch 0: {parted}")


@pytest.mark.slow
@rule(
    why="Ranks that see the same samples do the same work twice, and an epoch on two GPUs is "
    "not the epoch of one.",
    fix="Leave sampling to Lightning's DistributedSampler, or split by trainer.global_rank and "
    "trainer.world_size.",
)
def test_two_ranks_share_an_epoch(judgeable: Observations) -> None:
    if judgeable.plain.cut("fit"):
        pytest.skip("not judged: its training data has no end")
    whole, batch = counts(judgeable.plain.train)[0], judgeable.plain.train[0][0].size
    ranks = judgeable.observe_in_processes(ranks=2, reads=True)
    one, other = (counts(seen.train)[0] for seen in ranks)
    # drop_last drops on each rank; without it the last samples are drawn twice.
    expect(
        one == other and whole - 2 * batch < one + other <= whole + 2,
        f"{one} and {other} samples on two ranks, {whole} on one",
    )
    read = [seen.samples.get("fit") or samples(seen.train)[0] for seen in ranks]
    shared = len(set(read[0]) & set(read[1]))
    # What an epoch repeats may be on both.
    expect(
        shared <= 2 + judgeable.plain.repetitions, f"{shared} of {one} samples are on both ranks"
    )


def _repeats_with_its_workers(observations: Observations) -> bool:
    """Whether a module that asks for workers can be repeated with these."""
    own = observations.plain.own_workers
    if not own:
        return False
    fits = [observations.observe(workers=own, prepared=times).train for times in (0, PREPARED)]
    return difference(*fits) is None


def _needs_validation(observations: Observations) -> None:
    if not observations.plain.passes.get("validate"):
        pytest.skip("not judged: it has no validation")


def _labels(epoch: list[Step]) -> list[int]:
    """The labels, which stay what they are under augmentation."""
    found = [step.labels for step in epoch if step.labels is not None]
    return [label for labels in found for label in labels.tolist()]


def _orders(epoch: Sequence[Any]) -> float:
    """In how many orders an epoch's samples, or labels, can be."""
    same = (math.lgamma(count + 1) for count in Counter(epoch).values())
    return math.exp(min(math.lgamma(len(epoch) + 1) - sum(same), 100))


def _is_random(observations: Observations) -> bool:
    """Whether a training sample is drawn: from a global generator, or from one that is seeded."""
    reads = observations.plain.reads
    if len(set(reads)) > 1:
        return True
    passes = [observations.plain.passes, observations.observe(seed=2).passes]
    shared = {
        stage: set.intersection(*(set(samples(seen[stage])[0]) for seen in passes))
        for stage in ("fit", "validate") if all(stage in seen for seen in passes)
    }  # fmt: skip
    # Where another seed changes the data or the split, it changes those of validation too.
    return not shared["fit"] and bool(shared.get("validate"))

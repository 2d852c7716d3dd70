"""The same samples, bit for bit and in the same order, whatever should not matter."""

import itertools
from typing import Any

import pytest

from datamodule_conformance.observations import (
    FAILS,
    PREPARED,
    UNREPEATABLE,
    Observations,
    counts,
    difference,
    samples,
)
from datamodule_conformance.probe import Step
from datamodule_conformance.rules import expect, rule

ORDER = (
    "Let the order be a function of (seed, epoch): a sampler with set_epoch, such as "
    "DistributedSampler(dataset, num_replicas=world, rank=rank, seed=seed)."
)
AUGMENTATION = "Draw augmentation from a generator made of (seed, epoch, index) for each sample."


def _same(observations: Observations, what: str, **changes: Any) -> None:
    parted = difference(observations.plain.train, observations.observe(**changes).train)
    expect(parted is None, f"{what}: {parted}")


@rule(
    why="A result that can't be had again is an anecdote.",
    fix=f"{ORDER} {AUGMENTATION}",
)
def test_the_same_seed_gives_the_same_batches(observations: Observations) -> None:
    if observations.obstacle in (FAILS, UNREPEATABLE):
        pytest.skip(f"not judged: {observations.obstacle}")
    _same(observations, "two fits of one seed", prepared=PREPARED)


@pytest.mark.slow
@rule(
    why="Texts hash differently in each process, and folders list in any order: labels taken "
    "from a set() or from os.listdir() are others tomorrow.",
    fix="sorted(...) around names and paths.",
)
def test_a_fresh_process_sees_the_same(judgeable: Observations) -> None:
    (seen,) = judgeable.observe_in_processes()
    parted = difference(judgeable.plain.train, seen.train)
    expect(parted is None, f"a fit in another process: {parted}")


@rule(
    why="Runs of several seeds measure how sure a result is; if the seed does not reach the "
    "data they agree too well.",
    fix="Take a seed in __init__ and use it for the order and the augmentation.",
)
def test_another_seed_gives_another_order(judgeable: Observations) -> None:
    parted = difference(judgeable.plain.train, judgeable.observe(seed=2).train)
    expect(parted is not None, "seeds 1 and 2 give the same batches")


@rule(
    why="The same order in each epoch puts the same samples together in each batch, and learns "
    "worse.",
    fix=f"{ORDER} Lightning calls set_epoch only on the sampler of the loader that it was given.",
)
def test_each_epoch_has_its_own_order(judgeable: Observations) -> None:
    one, other = (_order(epoch) for epoch in judgeable.plain.train)
    expect(one != other, f"epochs 0 and 1 have their {len(one)} labels in the same order")


@rule(
    why="Augmentation that repeats is a fixed, smaller change of the data; worker processes "
    "that start from one seed in each epoch do it unnoticed.",
    fix=f"{AUGMENTATION} If none is meant: --datamodule-unaugmented.",
)
def test_augmentation_differs_between_epochs(judgeable: Observations) -> None:
    one, other = (set(epoch) for epoch in samples(judgeable.plain.train))
    if judgeable.source.augmented:
        expect(one != other, f"all {len(one)} samples are the same bit for bit in epochs 0 and 1")
    else:
        expect(one == other, f"{len(one - other)} samples of epoch 0 look otherwise in epoch 1")


@rule(
    why="A metric moves from epoch to epoch though the model stands still, and predictions "
    "can't be put beside their files.",
    fix="No shuffle and no random transforms in the loaders of evaluation.",
)
def test_evaluation_repeats(judgeable: Observations) -> None:
    if "validate" not in judgeable.stages:
        pytest.skip("it has no val_dataloader")
    passes = judgeable.observe(stages=judgeable.stages).passes["validate"]
    for number, steps in enumerate(passes[1:], 1):
        parted = difference(passes[:1], [steps])
        expect(parted is None, f"validations 0 and {number}: {parted}")


@rule(
    why="The number of workers is a matter of the machine's cores, never of the result.",
    fix=f"{AUGMENTATION} {ORDER}",
)
def test_workers_change_nothing(judgeable: Observations) -> None:
    _same(judgeable, "0 workers and 2", workers=2)


@rule(
    why="A fit with fewer validations, or none, is not comparable with the others.",
    fix=f"{ORDER} {AUGMENTATION}",
)
def test_validation_changes_nothing(judgeable: Observations) -> None:
    _same(judgeable, "with validation and without", trainer=(("limit_val_batches", 0),))


@rule(
    why="The sanity check is a matter of convenience.",
    fix="Keep no count of batches or epochs in the dataset.",
)
def test_the_sanity_check_changes_nothing(judgeable: Observations) -> None:
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
        pytest.skip("an epoch has one step only")
    for before, after in pairs:
        moved = [n for n, state in before.generators.items() if state != after.generators[n]]
        expect(not moved, f"loading a batch draws from the global generator of {', '.join(moved)}")


@rule(
    why="A preempted run must end where an uninterrupted one does, not train on epoch 0 again.",
    fix=f"{ORDER} A generator that runs on must be kept in state_dict.",
)
def test_a_resumed_run_goes_on_in_its_epoch(judgeable: Observations) -> None:
    _same(judgeable, "a fit resumed after epoch 0 and a whole one", stages=("resume",))


@pytest.mark.slow
@rule(
    why="Ranks that see the same samples do the same work twice, and an epoch on two GPUs is "
    "not the epoch of one.",
    fix="Leave sampling to Lightning's DistributedSampler, or split by trainer.global_rank and "
    "trainer.world_size.",
)
def test_two_ranks_share_an_epoch(judgeable: Observations) -> None:
    whole, batch = counts(judgeable.plain.train)[0], len(judgeable.plain.train[0][0].samples)
    one, other = (samples(seen.train)[0] for seen in judgeable.observe_in_processes(ranks=2))
    together = len(one) + len(other)
    # drop_last drops on each rank; without it the last samples are drawn twice.
    expect(
        len(one) == len(other) and whole - 2 * batch < together <= whole + 2,
        f"{len(one)} and {len(other)} samples on two ranks, {whole} on one",
    )
    shared = len(set(one) & set(other))
    expect(shared <= 2, f"{shared} of {len(one)} samples are on both ranks")


def _order(epoch: list[Step]) -> list[int]:
    """The labels, which stay what they are under augmentation."""
    labels = [step.labels for step in epoch]
    if any(found is None for found in labels):
        pytest.skip("labels were not found: batch[1], or batch['labels']")
    return [label for found in labels if found is not None for label in found.tolist()]

"""Rules: training gets the same samples, bit for bit and in the same order."""

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from lightning_conformance.call_log import overrides
from lightning_conformance.generators import changed_names
from lightning_conformance.observations import (
    FIT_FAILS,
    NO_FIT,
    NO_TRAINING_DATA,
    PREPARE_FAILS,
    PRIOR_PREPARES,
    NotJudged,
    Observations,
    difference,
    repeatable_fit,
    running_fit,
    sample_counts,
    sample_digests,
)
from lightning_conformance.rules import expect, expect_equal, rule
from lightning_conformance.sets import makes_sets

ORDER = (
    "Let the order be a function of (seed, epoch): a sampler with set_epoch, such as "
    "DistributedSampler(dataset, num_replicas=world, rank=rank, seed=seed)."
)
THIRD_HASH_SEED = "3"
"""PYTHONHASHSEED of another process. Those of this one and of the fork server differ from it."""
MIN_ORDERS = 1000.0
"""With fewer possible orders, two epochs may have the same order by chance."""
FEW = "with so few samples or labels, two orders can be equal by chance"
AUGMENTATION = "Draw augmentation from a generator made of (seed, epoch, index) for each sample."


def _expect_default_batches(observations: Observations, scenario: str, **changes: Any) -> None:
    """Raise Broken if a changed scenario trains on other batches than the default fit."""
    changed = observations.observe(**changes)
    expect_equal(scenario, observations.default_fit.train, changed.train)


@rule(
    why="A result that cannot be reproduced proves nothing.",
    fix=f"{ORDER} {AUGMENTATION}",
    requires=None,
)
def test_the_same_seed_gives_the_same_batches(observations: Observations) -> None:
    if observations.obstacle in (NO_FIT, NO_TRAINING_DATA, FIT_FAILS, PREPARE_FAILS):
        raise NotJudged(observations.obstacle)
    if observations.obstacle and _repeats_with_its_workers(observations):
        raise NotJudged("it can be repeated only with its own number of workers")
    _expect_default_batches(observations, "two fits of one seed", prior_prepares=PRIOR_PREPARES)


@pytest.mark.slow
@rule(
    why="Each process hashes strings differently, and a file system lists files in any order: "
    "labels taken from a set() or from os.listdir() change.",
    fix="Use sorted(...) for names and paths.",
)
def test_a_fresh_process_sees_the_same(observations: Observations) -> None:
    """Runs a fit in a process with other string hashes and reversed directory listings.

    A set of two texts has the same order in half of all processes. If the code makes sets, a third
    process has again other hashes.
    """
    changes: list[dict[str, Any]] = [{"reversed_listings": True}]
    if makes_sets(observations.source.path.partition(":")[0]):
        changes.append({"hash_seed": THIRD_HASH_SEED})
    for change in changes:
        (fresh,) = observations.observe_in_processes(**change)
        expect_equal("a fit in another process", observations.default_fit.train, fresh.train)


@rule(
    why="Runs with several seeds measure the uncertainty of a result; they underestimate it if "
    "the data ignore the seed.",
    fix="Take a seed in __init__ and use it for the order and the augmentation.",
)
def test_another_seed_gives_another_order(observations: Observations) -> None:
    epochs = observations.default_fit.train
    differs = difference(epochs, observations.observe(seed=2).train)
    if differs is None and _possible_orders(sample_digests(epochs)[0]) < MIN_ORDERS:
        raise NotJudged(FEW)
    expect(differs is not None, "seeds 1 and 2 give the same batches")


@rule(
    why="With one order for all epochs, each batch always contains the same samples, and the "
    "model learns worse.",
    fix=f"{ORDER} Lightning calls set_epoch only on the sampler of the loader that it got.",
)
def test_each_epoch_has_its_own_order(observations: Observations) -> None:
    """Compares the labels if augmentation makes the samples differ."""
    epochs = observations.default_fit.train
    orders: list[list[Any]] = sample_digests(epochs)
    unit = "samples"
    if sorted(orders[0]) != sorted(orders[1]):
        orders, unit = [observations.labels([epoch]) for epoch in epochs], "labels"
    first, second = orders
    if not first and not second:
        raise NotJudged("samples differ, and without labels their order can't be compared")
    if first == second and _possible_orders(first) < MIN_ORDERS:
        raise NotJudged(FEW)
    expect(first != second, f"epochs 0 and 1 have their {len(first)} {unit} in the same order")


@rule(
    why="Augmentation that repeats in each epoch is less augmentation; worker processes that "
    "start each epoch with the same seed cause it unnoticed.",
    fix=f"{AUGMENTATION} If no augmentation is intended: --datamodule-unaugmented.",
)
def test_augmentation_differs_between_epochs(observations: Observations) -> None:
    first, second = map(set, sample_digests(observations.default_fit.train))
    if not observations.source.augmented:
        changed_samples = len(first - second)
        expect(first == second, f"{changed_samples} samples of epoch 0 differ in epoch 1")
        return
    if first == second and not _is_random(observations):
        raise NotJudged("nothing is random in a training sample")
    expect(first != second, f"all {len(first)} samples are the same bit for bit in epochs 0 and 1")


@rule(
    why="If reading a sample changes it, epochs, workers and runs get different data.",
    fix=f"Return a copy; change nothing in place, keep no count. {AUGMENTATION}",
)
def test_reading_a_sample_changes_nothing(observations: Observations) -> None:
    reads = observations.default_fit.repeated_reads
    if not reads or reads[0] is None:
        raise NotJudged("no dataset returns a single sample by its index")
    expect(reads[0] == reads[1], "one sample, read twice from one state of the generators, differs")


@rule(
    why="Otherwise a metric changes from epoch to epoch with an unchanged model, and "
    "predictions can't be matched with their files.",
    fix="Use no shuffle and no random transforms in the loaders of evaluation.",
)
def test_evaluation_repeats(observations: Observations) -> None:
    """Compares the validations of a fit, and the order of each stage alone and after a fit."""
    if not observations.stages[1:]:
        raise NotJudged("fit is its only stage")
    validations = observations.default_fit.passes.get("validate", [])
    for number, steps in enumerate(validations[1:], 1):
        expect_equal(f"validations 0 and {number}", validations[:1], [steps])
    for stage in observations.stages[1:]:
        pair = [observations.stage_or_after_fit(stage), observations.all_stages]
        alone, after_fit = sample_digests([run.passes[stage][-1] for run in pair])
        shuffled = alone != after_fit and sorted(alone) == sorted(after_fit)
        expect(not shuffled, f"{stage} alone and after a fit: the same samples in another order")


@rule(
    why="The number of workers depends on the machine and must not change the result.",
    fix=f"{AUGMENTATION} {ORDER}",
    requires=running_fit,
)
def test_workers_change_nothing(observations: Observations) -> None:
    if not observations.default_fit.workers_can_be_set:
        raise NotJudged("its training loader is not a DataLoader, and it has no num_workers")
    repeats = observations.obstacle is not None and _repeats_with_its_workers(observations)
    expect(not repeats, "two fits of one seed are equal with its own workers, and differ with 0")
    repeatable_fit(observations)
    _expect_default_batches(observations, "0 workers and 2", workers=2)


@rule(
    why="Runs that validate more or less often would not be comparable.",
    fix=f"{ORDER} {AUGMENTATION}",
)
def test_validation_changes_nothing(observations: Observations) -> None:
    _require_validation(observations)
    trainer = (("limit_val_batches", 0),)
    _expect_default_batches(observations, "with validation and without", trainer=trainer)


@rule(
    why="The sanity check only looks for errors and must not change the result.",
    fix="Keep no count of batches or epochs in the dataset.",
)
def test_the_sanity_check_changes_nothing(observations: Observations) -> None:
    _require_validation(observations)
    trainer = (("num_sanity_val_steps", 2),)
    _expect_default_batches(observations, "with a sanity check and without", trainer=trainer)


@rule(
    why="Otherwise a model with dropout and a model without it train on different batches.",
    fix=f"{ORDER} {AUGMENTATION}",
)
def test_draws_of_the_model_change_nothing(observations: Observations) -> None:
    scenario = "with a model that draws random numbers and without"
    _expect_default_batches(observations, scenario, model_draws=True)


@rule(
    why="Draws of the data from the global generators change the model's dropout.",
    fix=AUGMENTATION,
)
def test_loading_leaves_the_global_generators_alone(observations: Observations) -> None:
    epochs = observations.default_fit.train
    pairs = [pair for epoch in epochs for pair in itertools.pairwise(epoch)]
    if not pairs:
        raise NotJudged("an epoch has only one step")
    for before, after in pairs:
        names = ", ".join(changed_names(before.generators, after.generators))
        expect(not names, f"loading a batch draws from the global generator of {names}")


@pytest.mark.slow
@rule(
    why="A preempted run must end like an uninterrupted one, and not train on epoch 0 again.",
    fix=f"{ORDER} Save the state of a generator in state_dict. Lightning calls load_state_dict "
    "after setup: let it set the generator that setup made.",
)
def test_a_resumed_run_goes_on_in_its_epoch(observations: Observations) -> None:
    """Runs three fits in new processes with the same seed, as users resume."""
    (complete,) = observations.observe_in_processes()
    (first,) = observations.observe_in_processes(stages=("first",))
    (resumed,) = observations.observe_in_processes(stages=("resume",), checkpoint=first.checkpoint)
    scenarios = "a complete fit and one resumed after epoch 0"
    differs = difference(complete.train, first.train + resumed.train)
    if differs and overrides(observations.make(), "load_state_dict"):
        with contextlib.suppress(Exception):  # it may need setup
            (early,) = observations.observe_in_processes(
                stages=("resume",), checkpoint=first.checkpoint, early_state=True
            )
            if difference(complete.train, first.train + early.train) is None:
                differs = "load_state_dict comes too late: Lightning calls it after setup"
    expect(differs is None, f"{scenarios}: {differs}")


@pytest.mark.slow
@rule(
    why="Ranks with the same samples do the same work twice, and an epoch on two GPUs differs "
    "from an epoch on one.",
    fix="Leave sampling to Lightning's DistributedSampler, or split by trainer.global_rank and "
    "trainer.world_size.",
)
def test_two_ranks_share_an_epoch(observations: Observations) -> None:
    default_fit = observations.default_fit
    if default_fit.is_cut("fit"):
        raise NotJudged("its training data has no end")
    total, batch = sample_counts(default_fit.train)[0], default_fit.train[0][0].size
    ranks = observations.observe_in_processes(ranks=2, read_samples=True)
    first, second = (sample_counts(rank.train)[0] for rank in ranks)
    # drop_last drops samples on each rank. Without it the last samples are used twice.
    expect(
        first == second and total - 2 * batch < first + second <= total + 2,
        f"{first} and {second} samples on two ranks, {total} on one",
    )
    samples = [rank.samples.get("fit") or sample_digests(rank.train)[0] for rank in ranks]
    shared = len(set(samples[0]) & set(samples[1]))
    # A sample that an epoch repeats may be on both ranks.
    allowed = 2 + default_fit.repetitions
    expect(shared <= allowed, f"{shared} of {first} samples are on both ranks")


def _repeats_with_its_workers(observations: Observations) -> bool:
    """Return whether two fits are equal with the number of workers that the DataModule sets."""
    workers = observations.default_fit.requested_workers
    if not workers:
        return False
    fits = (
        observations.observe(workers=workers, prior_prepares=times).train
        for times in (0, PRIOR_PREPARES)
    )
    return difference(*fits) is None


def _require_validation(observations: Observations) -> None:
    if not observations.default_fit.passes.get("validate"):
        raise NotJudged("it has no validation")


def _possible_orders(epoch: Sequence[Any]) -> float:
    """Return the number of different orders of an epoch's samples or labels, at most e**100."""
    equal = (math.lgamma(count + 1) for count in Counter(epoch).values())
    return math.exp(min(math.lgamma(len(epoch) + 1) - sum(equal), 100))


def _is_random(observations: Observations) -> bool:
    """Return whether training samples are random: drawn from a global or a seeded generator."""
    if len(set(observations.default_fit.repeated_reads)) > 1:
        return True
    passes = [observations.default_fit.passes, observations.observe(seed=2).passes]
    shared = {
        stage: set.intersection(*(set(sample_digests(run[stage])[0]) for run in passes))
        for stage in ("fit", "validate") if all(stage in run for run in passes)
    }  # fmt: skip
    # If the seed selected other data, no validation sample would be shared either.
    return not shared["fit"] and bool(shared.get("validate"))

"""Rules: what Lightning calls, when and in which process, and what a hook may rely on."""

import inspect
import io
import itertools
import pickle
import re
from typing import Any

import pytest
import torch

from lightning_conformance import loaders
from lightning_conformance.call_log import BATCH, Call
from lightning_conformance.observations import (
    FIT_FAILS,
    NO_FIT,
    NO_TRAINING_DATA,
    PRIOR_PREPARES,
    NotJudged,
    Observations,
    difference,
    running_fit,
    sample_counts,
    sample_digests,
)
from lightning_conformance.probe import Epochs
from lightning_conformance.rules import expect, expect_equal, rule
from lightning_conformance.scenario import LOADERS, make_trainer


@rule(
    why="Lightning calls setup(stage=...) and teardown(stage=...) by keyword.",
    fix="def setup(self, stage: str | None = None), and the same for teardown.",
    requires=None,
)
def test_setup_and_teardown_take_the_stage(observations: Observations) -> None:
    data = observations.make()
    for name in ("setup", "teardown"):
        signature = inspect.signature(getattr(data, name))
        try:
            signature.bind(stage="fit")
        except TypeError as error:
            expect(False, f"{name}{signature}: {error}")


@rule(
    why="Training does not work, and most other rules can't be judged.",
    fix="Run trainer.fit(model, datamodule=...) and follow the traceback.",
    requires=None,
)
def test_a_plain_fit_runs(observations: Observations) -> None:
    if observations.obstacle in (NO_FIT, NO_TRAINING_DATA):
        raise NotJudged(observations.obstacle)
    epochs = observations.default_fit.train
    expect(epochs != [] and all(epochs), "an epoch without a step")


@rule(
    why="Lightning calls prepare_data before each fit, validate, test and predict, also on a "
    "machine that has the data already.",
    fix="Look for the finished data first; write to a temporary name and rename it.",
    requires=None,
)
def test_prepare_data_can_run_again(observations: Observations) -> None:
    if observations.obstacle in (NO_FIT, NO_TRAINING_DATA, FIT_FAILS):
        raise NotJudged(observations.obstacle)
    prepared = observations.observe(prior_prepares=PRIOR_PREPARES)
    once, again = (sample_counts(run.train) for run in (observations.default_fit, prepared))
    expect(
        once == again,
        f"epochs of {once} samples, and of {again} after {PRIOR_PREPARES} more prepare_data",
    )


@rule(
    why="Only one process of a machine runs prepare_data, all run setup: on every other rank, an "
    "attribute set in prepare_data is missing or has its default value.",
    fix="Write to disk in prepare_data, read it in setup, and set attributes there.",
)
def test_setup_needs_nothing_that_prepare_data_left_on_the_object(
    observations: Observations,
) -> None:
    other_rank = observations.observe(prior_prepares=1, runs_prepare_data=False)
    scenario = "an object that never ran prepare_data"
    expect_equal(scenario, observations.default_fit.train, other_rank.train)


@rule(
    why="A stage may run in a process of its own, such as a test of last week's checkpoint.",
    fix="Let setup(stage) make everything that the loaders of this stage need.",
    requires=running_fit,
)
def test_each_stage_runs_alone(observations: Observations) -> str | None:
    """Remarks which loader hooks are no stage, and why."""
    absent = observations.absent_stages
    for stage in observations.candidate_stages:
        if stage not in absent:
            passes = observations.observe(stages=(stage,)).passes
            expect(bool(passes.get(stage)), f"{stage} alone gets no batch")
    return "; ".join(f"without {stage}: {reason}" for stage, reason in absent.items())


@rule(
    why="setup runs for each stage in every process: data that a stage does not need cost time "
    "and memory each time, and a split made again may differ.",
    fix='if stage in ("fit", None): ... train and val ...; if stage in ("test", None): ...',
    requires=running_fit,
)
def test_setup_prepares_only_what_its_stage_needs(observations: Observations) -> None:
    if not {"fit", "test"} <= set(observations.stages):
        raise NotJudged("it has no fit or no test")
    observations.single_stage("test")
    samples = observations.all_stages.samples
    train, test = (set(samples.get(stage, ())) for stage in ("fit", "test"))
    if train and train <= test:
        raise NotJudged("its test includes all training samples")
    data: Any = observations.make()
    data.trainer = make_trainer(devices=1, logger=False)
    if _train_loader_works(data):
        raise NotJudged("its train_dataloader works without setup")
    data.prepare_data()
    data.setup(stage="test")
    expect(not _train_loader_works(data), 'setup("test") made the training data too')


@rule(
    why="setup runs again for validate, test and predict: a split drawn again moves training "
    "samples into the test.",
    fix="random_split(..., generator=torch.Generator().manual_seed(seed)), or fixed indices.",
)
def test_each_setup_makes_the_same_split(observations: Observations) -> None:
    passes = observations.all_stages.passes
    alone = {
        stage: observations.single_stage(stage).passes[stage] for stage in observations.stages[1:]
    }
    if not alone:
        raise NotJudged("fit is its only stage")
    for stage, stage_passes in alone.items():
        after_fit, new = map(set, sample_digests([passes[stage][-1], stage_passes[-1]]))
        expect(
            after_fit == new,
            f"{len(after_fit - new)} of {len(after_fit)} samples of {stage} after a fit are not "
            f"samples of {stage} alone",
        )
    if "validate" in observations.stages:
        in_fit, last = map(set, sample_digests([passes["validate"][i] for i in (0, -1)]))
        expect(in_fit == last, f"{len(last - in_fit)} samples of validate were not in the fit's")


@rule(
    why="A hook that calls another runs it in the wrong process or too often: prepare_data in "
    "setup downloads on every rank at once.",
    fix="Let only Lightning call hooks; move shared code to a method that is not a hook.",
    requires=running_fit,
)
def test_lightning_alone_calls_the_hooks(observations: Observations) -> None:
    run = observations.all_stages
    expected = [
        call for stage in observations.stages for call in _cycle(stage, run.passes, observations)
    ]
    pairs = itertools.zip_longest(run.log.calls, expected, fillvalue=("the end",))
    for number, (call, expected_call) in enumerate(pairs):
        expect(
            call == expected_call,
            f"call {number} was {_describe_call(call)} instead of {_describe_call(expected_call)}",
        )


@rule(
    why="Draws or seeds of a hook change the model's weights and dropout, and data drawn in a "
    "hook change each time it runs.",
    fix="Draw from a new generator: torch.Generator().manual_seed(seed), "
    "numpy.random.default_rng(seed). Leave seed_everything to the training script.",
    requires=running_fit,
)
def test_hooks_leave_the_global_generators_alone(observations: Observations) -> None:
    for run in (observations.default_fit, observations.all_stages):
        for hook, names in run.log.generators.items():
            text = ", ".join(sorted(names))
            expect(False, f"{hook} seeds the global generator of {text}, or draws from it")


@rule(
    why="Trainer(reload_dataloaders_every_n_epochs=1) and a second stage call a loader hook again.",
    fix="Make datasets and splits in setup; let the loader hooks only wrap them.",
)
def test_loaders_can_be_asked_for_again(observations: Observations) -> None:
    """If batches differ, try again with freeze_rng_on_iter.

    Lightning calls iter(loader) once more if it reloads loaders, which draws a seed.
    """
    differs = _reload_difference(observations)
    differs = differs and _reload_difference(observations, freeze_rng_on_iter=True)
    expect(differs is None, f"with loaders made in each epoch: {differs}")


@rule(
    why="Notebooks and sweeps fit several models with one object; the second model would be "
    "compared on other data.",
    fix="Create counters and generators in setup, not in __init__.",
)
def test_a_second_fit_sees_what_the_first_saw(observations: Observations) -> None:
    epochs = observations.observe(stages=("fit", "refit")).train
    half = len(epochs) // 2
    expect_equal("the first fit and a second", epochs[:half], epochs[half:])


@rule(
    why="Lightning calls on_exception after an error, and not teardown: files that teardown "
    "would close stay open and break the next fit.",
    fix="Let setup rely on nothing from before; clean up in on_exception too.",
)
def test_it_works_again_after_an_error(observations: Observations) -> None:
    run = observations.observe(stages=("fail", "fit"))
    count = [call[0] for call in run.log.calls].count("on_exception")
    expect(count == 1, f"{count} x on_exception")
    expect_equal("a fit after one that failed", observations.default_fit.train, run.train)


@rule(
    why="Strategies that spawn processes (TPUs, notebooks, ddp_spawn) pickle it.",
    fix="Open files and connections in setup, not in __init__; no lambdas as attributes.",
    requires=None,
)
def test_it_can_be_pickled(observations: Observations) -> None:
    pickle.loads(pickle.dumps(observations.make()))


@rule(
    why="Lightning saves state_dict() and the hyperparameters in each checkpoint, and torch.load "
    "reads only plain types by default.",
    fix="Return tensors, numbers, strings, lists and dictionaries; save a path as a string.",
    requires=running_fit,
)
def test_its_state_is_plain(observations: Observations) -> None:
    checkpoint = observations.observe(stages=("first",)).checkpoint
    try:
        torch.load(io.BytesIO(checkpoint), weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        expect(False, f"a checkpoint with {name[1] if name else 'a type that is not plain'}")


@pytest.mark.slow
@rule(
    why="Downloads must not collide, and every rank needs its datasets.",
    fix="Leave prepare_data to Lightning; see the rules about setup.",
    requires=running_fit,
)
def test_two_ranks_prepare_once_and_set_up_twice(observations: Observations) -> None:
    for rank, run in enumerate(observations.observe_in_processes(ranks=2)):
        calls = [call[0] for call in run.log.calls]
        counts = {name: calls.count(name) for name in ("prepare_data", "setup", "teardown")}
        expected = {"prepare_data": int(rank == 0), "setup": 1, "teardown": 1}
        expect(counts == expected, f"rank {rank} called {counts} instead of {expected}")


def _reload_difference(observations: Observations, **changes: Any) -> str | None:
    """Describe how reload_dataloaders_every_n_epochs=1 changes the batches, or return None."""
    trainer = (("reload_dataloaders_every_n_epochs", 1),)
    passes = observations.observe(**changes).passes
    reloaded = observations.observe(trainer=trainer, **changes).passes
    for stage in ("fit", "validate"):
        if differs := difference(passes.get(stage, []), reloaded.get(stage, [])):
            return f"{stage}: {differs}"
    return None


def _train_loader_works(data: Any) -> bool:
    """Return whether train_dataloader makes loaders, and whether each of them has a batch."""
    try:
        made = data.train_dataloader()
        loaders.set_workers(made, 0)
        for loader in loaders.flatten(made):
            next(iter(loader))
    except Exception:  # DataLoader(None) can be made
        return False
    return bool(loaders.flatten(made))


def _cycle(stage: str, passes: dict[str, Epochs], observations: Observations) -> list[Call]:
    """Return the expected calls of hooks in one stage, from prepare_data to teardown."""
    loader_stages = [stage]
    stage_passes = list(passes.get(stage, []))
    if stage == "fit" and "validate" in observations.candidate_stages:
        loader_stages.append("validate")
        validations = passes.get("validate", [[] for _ in stage_passes])
        epochs = zip(stage_passes, validations, strict=False)
        stage_passes = [steps for epoch in epochs for steps in epoch]
    elif stage == "validate":
        stage_passes = stage_passes[-1:]
    hooks = [(f"{LOADERS[name]}_dataloader",) for name in loader_stages]
    batches = [(name, step.loader) for steps in stage_passes for step in steps for name in BATCH]
    return [("prepare_data",), ("setup", stage), *hooks, *batches, ("teardown", stage)]


def _describe_call(call: Call) -> str:
    return f"{call[0]}({', '.join(map(repr, call[1:]))})" if call != ("the end",) else call[0]

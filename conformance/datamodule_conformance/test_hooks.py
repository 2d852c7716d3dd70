"""What Lightning calls, when, in which process, and what a hook may rely on."""

import inspect
import io
import pickle
import re
from typing import Any

import pytest
import torch

from datamodule_conformance.call_log import BATCH, Call
from datamodule_conformance.observations import (
    FAILS,
    NO_FIT,
    PREPARED,
    Observations,
    counts,
    difference,
    samples,
)
from datamodule_conformance.probe import Step
from datamodule_conformance.rules import expect, rule
from datamodule_conformance.scenario import LOADERS, trainer


@rule(
    why="Lightning calls setup(stage=...) and teardown(stage=...) by keyword.",
    fix="def setup(self, stage: str | None = None), and teardown alike.",
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
    why="Nothing else can be judged, and nobody can train with it.",
    fix="Run trainer.fit(model, datamodule=...) and follow the traceback.",
)
def test_a_plain_fit_runs(observations: Observations) -> None:
    if observations.obstacle == NO_FIT:
        pytest.skip(f"not judged: {NO_FIT}")
    seen = observations.plain
    expect(all(epoch for epoch in seen.train) and seen.train != [], "an epoch without a step")


@rule(
    why="Lightning calls prepare_data before each fit, validate, test and predict, so once in "
    "each of them on a machine that has the data already.",
    fix="Look for the finished data first; write to a temporary name and rename it.",
)
def test_prepare_data_can_run_again(observations: Observations) -> None:
    if observations.obstacle in (NO_FIT, FAILS):
        pytest.skip(f"not judged: {FAILS}")
    first, again = (
        counts(observations.plain.train),
        counts(observations.observe(prepared=PREPARED).train),
    )
    expect(
        first == again,
        f"epochs of {first} samples, and of {again} after prepare_data ran {PREPARED} times more",
    )


@rule(
    why="Only one process of a machine runs prepare_data, all run setup: an attribute set in "
    "prepare_data is missing, or still the default, on every other rank.",
    fix="Write to disk in prepare_data, read it in setup, and set attributes there.",
)
def test_setup_needs_nothing_that_prepare_data_left_on_the_object(judgeable: Observations) -> None:
    parted = difference(judgeable.plain.train, judgeable.observe(prepared=1, prepares=False).train)
    expect(parted is None, f"an object that never ran prepare_data: {parted}")


@rule(
    why="A stage may run in a process of its own, as a test of last week's checkpoint does.",
    fix="Let setup(stage) make what that stage's loaders need, whatever ran before.",
)
def test_each_stage_runs_alone(running: Observations) -> None:
    for stage in (*running.stages, *running.failing):
        passes = running.observe(stages=(stage,)).passes
        needed = stage in (*running.stages, *running.chosen)
        expect(bool(passes.get(stage)) or not needed, f"{stage} alone is shown no batch")


@rule(
    why="setup runs once for each stage, in every process: what a stage does not need costs "
    "time and memory in each, and a split made again may be another one.",
    fix='if stage in ("fit", None): ... train and val ...; if stage in ("test", None): ...',
)
def test_setup_prepares_only_what_its_stage_needs(running: Observations) -> None:
    if not {"fit", "test"} <= set(running.stages):
        pytest.skip("not judged: it has no fit or no test")
    running.alone("test")
    train, test = (set(running.together.samples.get(stage, ())) for stage in ("fit", "test"))
    if train and train <= test:
        pytest.skip("not judged: its test shows the samples of training too")
    data: Any = running.make()
    data.trainer = trainer(devices=1, logger=False)
    if _train_loader_works(data):
        pytest.skip("not judged: its train_dataloader works without setup")
    data.prepare_data()
    data.setup(stage="test")
    expect(not _train_loader_works(data), 'setup("test") made the training data too')


@rule(
    why="setup runs again for validate, test and predict: a split drawn anew moves samples that "
    "were trained on into the test.",
    fix="random_split(..., generator=torch.Generator().manual_seed(seed)), or fixed indices.",
)
def test_each_setup_makes_the_same_split(judgeable: Observations) -> None:
    together = judgeable.together.passes
    compared = [(stage, judgeable.alone(stage).passes) for stage in judgeable.stages[1:]]
    if not compared:
        pytest.skip("not judged: it has no stage but fit")
    for stage, alone in compared:
        one, other = map(set, samples([together[stage][-1], alone[stage][-1]]))
        expect(
            one == other,
            f"{len(one - other)} of {len(one)} samples of {stage} after a fit are not those of "
            f"{stage} alone",
        )
    if "validate" in judgeable.stages:
        first, last = map(set, samples([together["validate"][i] for i in (0, -1)]))
        expect(first == last, f"{len(last - first)} samples of validate were not in the fit's")


@rule(
    why="A hook that calls another runs it in the wrong process or once too often: prepare_data "
    "in setup downloads on every rank at once.",
    fix="Leave the calling to Lightning; share code in a method that is no hook.",
)
def test_lightning_alone_calls_the_hooks(running: Observations) -> None:
    seen = running.together
    expected = [call for stage in running.stages for call in _cycle(stage, seen.passes, running)]
    pairs = zip([*seen.log.calls, ("the end",)], [*expected, ("the end",)], strict=False)
    for number, (one, other) in enumerate(pairs):
        expect(one == other, f"call {number} was {_call(one)} instead of {_call(other)}")


@rule(
    why="What a hook draws or seeds changes the model's weights and dropout, and data drawn so is "
    "another each time the hook runs.",
    fix="Draw from a generator of its own: torch.Generator().manual_seed(seed), "
    "numpy.random.default_rng(seed). Leave seed_everything to whoever trains.",
)
def test_hooks_leave_the_global_generators_alone(running: Observations) -> None:
    for seen in (running.plain, running.together):
        for hook, moved in seen.log.moved.items():
            names = ", ".join(sorted(moved))
            expect(not moved, f"{hook} seeds the global generator of {names}, or draws from it")


@rule(
    why="Trainer(reload_dataloaders_every_n_epochs=1) and a second stage ask for a loader anew.",
    fix="Make datasets and splits in setup; let the loader hooks only wrap them.",
)
def test_loaders_can_be_asked_for_again(judgeable: Observations) -> None:
    """That Lightning makes one iterator more then, which draws a seed, is not the data's fault."""
    parted = _reloaded(judgeable) and _reloaded(judgeable, still=True)
    expect(parted is None, f"with loaders made in each epoch: {parted}")


@rule(
    why="People fit several models with one object, in notebooks and in sweeps; the second "
    "would be compared on other data.",
    fix="Start counters and generators afresh in setup.",
)
def test_a_second_fit_sees_what_the_first_saw(judgeable: Observations) -> None:
    seen = judgeable.observe(stages=("fit", "refit")).train
    half = len(seen) // 2
    parted = difference(seen[:half], seen[half:])
    expect(parted is None, f"the first fit and a second: {parted}")


@rule(
    why="Lightning calls on_exception after an error, and no teardown: what teardown would have "
    "closed stays open, and the next fit stumbles over it.",
    fix="Let setup start from nothing; clean up in on_exception too.",
)
def test_it_works_again_after_an_error(judgeable: Observations) -> None:
    seen = judgeable.observe(stages=("fail", "fit"))
    calls = [call[0] for call in seen.log.calls]
    expect(calls.count("on_exception") == 1, f"{calls.count('on_exception')} x on_exception")
    parted = difference(judgeable.plain.train, seen.train)
    expect(parted is None, f"a fit after one that failed: {parted}")


@rule(
    why="Strategies that spawn processes (TPUs, notebooks, ddp_spawn) send it there pickled.",
    fix="Open files and connections in setup, not in __init__; no lambdas as attributes.",
)
def test_it_can_be_pickled(observations: Observations) -> None:
    pickle.loads(pickle.dumps(observations.make()))


@rule(
    why="Lightning puts state_dict() and what save_hyperparameters() kept into each checkpoint, "
    "and torch.load reads plain types only unless told to trust the file.",
    fix="Return tensors, numbers, texts, lists and dictionaries; keep a path as a text.",
)
def test_its_state_is_plain(running: Observations) -> None:
    saved = running.observe(stages=("first",)).checkpoint
    try:
        torch.load(io.BytesIO(saved), weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        expect(False, f"a checkpoint with {found[1] if found else 'what is not plain'}")


@pytest.mark.slow
@rule(
    why="Downloads must not collide, and every rank needs its datasets.",
    fix="Leave prepare_data to Lightning; see the rules about setup.",
)
def test_two_ranks_prepare_once_and_set_up_twice(running: Observations) -> None:
    for rank, seen in enumerate(running.observe_in_processes(ranks=2)):
        calls = [call[0] for call in seen.log.calls]
        counts = {name: calls.count(name) for name in ("prepare_data", "setup", "teardown")}
        expected = {"prepare_data": int(rank == 0), "setup": 1, "teardown": 1}
        expect(counts == expected, f"rank {rank} called {counts} instead of {expected}")


def _reloaded(observations: Observations, **changes: Any) -> str | None:
    plain = observations.observe(**changes).passes
    seen = observations.observe(trainer=(("reload_dataloaders_every_n_epochs", 1),), **changes)
    for stage in ("fit", "validate"):
        if parted := difference(plain.get(stage, []), seen.passes.get(stage, [])):
            return f"{stage}: {parted}"
    return None


def _train_loader_works(data: Any) -> bool:
    try:
        return data.train_dataloader() is not None
    except Exception:
        return False


def _cycle(
    stage: str, passes: dict[str, list[list[Step]]], observations: Observations
) -> list[Call]:
    """The hooks of one stage, from prepare_data to teardown."""
    loaders = [stage]
    shown = list(passes.get(stage, []))
    if stage == "fit" and observations.validates:
        loaders.append("validate")
        validations = passes.get("validate", [[] for _ in shown])
        epochs = zip(passes["fit"], validations, strict=False)
        shown = [steps for epoch in epochs for steps in epoch]
    elif stage == "validate":
        shown = shown[-1:]
    hooks = [(f"{LOADERS[name]}_dataloader",) for name in loaders]
    batches = [(name, step.loader) for steps in shown for step in steps for name in BATCH]
    return [("prepare_data",), ("setup", stage), *hooks, *batches, ("teardown", stage)]


def _call(call: Call) -> str:
    return f"{call[0]}({', '.join(map(repr, call[1:]))})" if call != ("the end",) else call[0]

"""Rules: training gives the same weights, whatever happens next to it."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from lightning_conformance import test_determinism as data
from lightning_conformance.causes import RuleTest
from lightning_conformance.messages import describe_error
from lightning_conformance.module.fit import FitObservation
from lightning_conformance.module.observations import (
    ProjectObservations,
    difference,
    running_module,
)
from lightning_conformance.module.rules import module_rule
from lightning_conformance.observations import NOT_REPRODUCIBLE, NotJudged
from lightning_conformance.rules import Broken, Rule, expect

DRAWS = data.test_draws_of_the_model_change_nothing


@module_rule(
    why="Nothing else can be judged, and nothing can be trained.",
    fix="Run the same fit yourself; the message names the line.",
    requires=None,
)
def test_the_module_fits(project: ProjectObservations) -> None:
    if project.data.obstacle not in (None, NOT_REPRODUCIBLE):
        raise NotJudged(str(project.data.obstacle))
    project.observe()


@module_rule(
    why="A result that cannot be reproduced proves nothing.",
    fix="Draw from torch's global generator, which seed_everything seeds, or from a generator that "
    "is made of a seed. Use sorted(...) for sets and names of files.",
    requires=running_module,
)
def test_the_same_seed_gives_the_same_weights(project: ProjectObservations) -> None:
    """Compares two fits of one seed, in two new processes with the same string hashes."""
    if project.data.obstacle:
        raise NotJudged(project.data.obstacle)
    if differs := difference(project.observe(), project.repetition):
        raise Broken(f"two fits of one seed: {differs}")


@module_rule(
    why="Runs with several seeds measure the uncertainty of a result; they underestimate it if "
    "the weights ignore the seed.",
    fix="Do not call manual_seed or seed_everything in the module. If it starts from pretrained "
    "weights, let its head be drawn.",
    requires=running_module,
)
def test_another_seed_gives_another_initialisation(project: ProjectObservations) -> None:
    first, second = project.observe(), project.observe(seed=2, stages=())
    if not first.initial_weights:
        raise NotJudged("the module has no weights")
    expect(
        first.initial_weights != second.initial_weights,
        f"seeds 1 and 2 give the same {len(first.initial_weights)} tensors before training",
    )


@module_rule(
    why="Runs that validate more or less often would not be comparable.",
    fix="Change no weights, buffers, optimizers or attributes of training in the hooks of "
    "validation; let Lightning set eval mode. Step schedulers in training.",
)
def test_validation_changes_no_weights(project: ProjectObservations) -> None:
    """Compares a fit with validation and one without; both draw the same numbers in training."""
    default = project.observe()
    if "validate" not in project.data.default_fit.passes:
        raise NotJudged("it has no validation")
    if default.follows_a_metric:
        raise NotJudged("a ReduceLROnPlateau is meant to follow a metric")
    changed = _try_fit(project, "without validation", trainer=(("limit_val_batches", 0),))
    _expect_equal(
        project, "fits with validation and without", changed, data.test_validation_changes_nothing
    )


@module_rule(
    why="The number of workers depends on the machine and must not change the result.",
    fix="Let a step change no dataset: each worker has a copy. Give values that change in training "
    "to the module, not to the data.",
)
def test_the_number_of_workers_changes_no_weights(project: ProjectObservations) -> None:
    if not project.data.default_fit.workers_can_be_set:
        raise NotJudged("its training loader is not a DataLoader")
    if not _differs_together(project):
        return
    changed = _try_fit(project, "with 2 workers", workers=2)
    _expect_equal(
        project, "fits with 0 workers and with 2", changed, data.test_workers_change_nothing
    )


@module_rule(
    why="What is logged must not depend on being logged, and runs with another logger would not "
    "be comparable.",
    fix="Draw nothing for a logger in training, or draw from a torch.Generator of its own; change "
    "no weights and no train or eval mode to make what is logged.",
)
def test_logging_changes_no_weights(project: ProjectObservations) -> None:
    """Compares a fit without logger and one with logger and progress bar, which logs each step."""
    if project.needs_logger:
        raise NotJudged("no fit runs without a logger")
    if not _differs_together(project):
        return
    changed = _try_fit(project, "with a logger", logger=True)
    _expect_equal(project, "fits without logger and with one", changed)


@module_rule(
    why="A preempted run must end like an uninterrupted one.",
    fix="Save in on_save_checkpoint, and load in on_load_checkpoint, all that training changes and "
    "that is no parameter, no buffer and no optimizer or scheduler of configure_optimizers: "
    "counters, averaged weights, schedulers stepped by hand.",
)
def test_a_resumed_fit_ends_like_an_undisturbed_one(project: ProjectObservations) -> None:
    """Compares weights and states of a fit with those of one that a new process resumed.

    The checkpoint is saved after an epoch. Both fits draw the same numbers in the epoch after it,
    although a checkpoint contains no generator's state.
    """
    _expect_resumed(project, project.observe().saved_epoch)


@module_rule(
    why="Long epochs are interrupted within, and must end like uninterrupted ones.",
    fix="As for a fit resumed after an epoch. Also save what is collected during an epoch.",
)
def test_a_fit_resumed_within_an_epoch_ends_like_an_undisturbed_one(
    project: ProjectObservations,
) -> None:
    """As the rule about a fit resumed after an epoch, with a checkpoint in the middle of one."""
    if project.observe().saved_step is None:
        raise NotJudged("neither its training loaders nor the DataModule save their place")
    _expect_resumed(project, project.observe().saved_step)


@module_rule(
    why="A parameter that no optimizer has is never trained, and one that an optimizer has twice "
    "is changed twice in a step.",
    fix="Pass each parameter once, self.parameters() for all. Call requires_grad_(False) for those "
    "that are not to be trained.",
    requires=running_module,
)
def test_every_trainable_parameter_is_in_one_optimizer(
    project: ProjectObservations,
) -> str | None:
    """Parameters without a gradient have a rule of their own."""
    fit = project.observe()
    if not fit.optimized:
        raise NotJudged("it has no optimizer, or no trainable parameter when training starts")
    expect(not fit.repeated, f"twice in one optimizer: {_list(fit.repeated)}")
    unused = fit.without_gradient or ()
    missing = [name for name, count in fit.optimized.items() if not count and name not in unused]
    expect(not missing, f"in no optimizer: {_list(missing)}")
    shared = [name for name, count in fit.optimized.items() if count > 1]
    return f"in several optimizers: {_list(shared)}" if shared else None


@module_rule(
    why="Frozen weights are those of the pretrained model, which other heads may share.",
    fix="Freeze a parameter before its first backward, or set its grad to None. An optimizer skips "
    "parameters without a gradient, but moves those whose gradient is zero.",
    requires=running_module,
)
def test_no_optimizer_changes_a_frozen_parameter(project: ProjectObservations) -> None:
    changed = project.observe().frozen_changed
    expect(not changed, f"changed by a step while requires_grad was False: {_list(changed)}")


def _list(names: Collection[str]) -> str:
    """Return the number of names, and the first three."""
    first = sorted(names)[:3]
    return f"{len(names)} parameters, {', '.join(first)}{', ...' if len(names) > 3 else ''}"


def _expect_resumed(project: ProjectObservations, saved: tuple[int, bytes] | None) -> None:
    """Raise Broken if a fit resumed from the checkpoint `saved` differs from the default one.

    It is judged if the resumed fit gets the batches that follow: else the data may be the cause.
    """
    if saved is None:
        raise NotJudged("the fit ended before its last epoch")
    default = project.observe()
    if default.follows_a_metric:
        raise NotJudged("a ReduceLROnPlateau forgets the epoch after which ModelCheckpoint saves")
    steps, checkpoint = saved
    resumed = project.observe(stages=("resume",), checkpoint=checkpoint)
    rest = replace(default, batches=default.batches[steps:], losses=default.losses[steps:])
    if rest.batches != resumed.batches:
        raise NotJudged("a resumed fit gets other batches")
    if differs := difference(rest, resumed):
        raise Broken(f"a fit and one resumed after step {steps}: {differs}")


def _differs_together(project: ProjectObservations) -> bool:
    """Return whether a fit with a logger and 2 workers fails or differs: one process for two rules.

    If it does not, neither of them has an influence.
    """
    try:
        changed = project.observe(logger=True, workers=2)
    except Exception:
        return True
    return difference(project.observe(), changed) is not None


def _try_fit(project: ProjectObservations, description: str, **changes: Any) -> FitObservation:
    """Return the observation of a changed fit, or raise NotJudged if it fails."""
    try:
        return project.observe(**changes)
    except Exception as error:
        raise NotJudged(f"a fit {description} fails: {describe_error(error)}") from error


def _expect_equal(
    project: ProjectObservations, fits: str, changed: FitObservation, *data_rules: RuleTest
) -> None:
    """Raise Broken if a changed fit differs from the default one.

    If its batches differ and one of the DataModule's rules does not hold, raise NotJudged instead:
    the DataModule alone explains that.
    """
    default = project.observe()
    if not (differs := difference(default, changed)):
        return
    explaining = () if default.batches == changed.batches else (*data_rules, DRAWS)
    for test in explaining:
        rule: Rule = test.rule  # type: ignore[attr-defined]
        try:
            rule.evaluate(project)
        except Exception as error:
            raise NotJudged(f"the training batches differ: {rule.name} does not hold") from error
    raise Broken(f"{fits}: {differs}")

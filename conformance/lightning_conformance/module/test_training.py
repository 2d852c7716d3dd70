"""Rules: training gives the same weights, whatever happens next to it."""

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
    if not _differs_together(project):
        return
    changed = _try_fit(project, "with a logger", logger=True)
    _expect_equal(project, "fits without logger and with one", changed)


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

"""Rules: training gives the same weights, whatever happens next to it."""

from lightning_conformance.module.observations import (
    ProjectObservations,
    difference,
    running_module,
)
from lightning_conformance.module.rules import module_rule
from lightning_conformance.observations import NOT_REPRODUCIBLE, NotJudged
from lightning_conformance.rules import Broken, expect


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
    first, second = project.observe(), project.observe(seed=2)
    if not first.initial_weights:
        raise NotJudged("the module has no weights")
    expect(
        first.initial_weights != second.initial_weights,
        f"seeds 1 and 2 give the same {len(first.initial_weights)} tensors before training",
    )

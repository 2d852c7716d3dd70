"""Causes: which broken rules follow from which, so that one fault is reported once."""

from collections.abc import Callable, Mapping
from typing import Any

from lightning_conformance.observations import NotJudged, Observations

RuleTest = Callable[[Any], str | None]
"""Raises NotJudged if a rule can't be judged, and anything else if it is broken.

If the rule holds, it may return a remark: something to know that harms nobody.
"""

HOOKS = "hooks leave the global generators alone"
DRAWS = "draws of the model change nothing"
STATE = "its state is plain"
REPEATS = "evaluation repeats"
READING = "reading a sample changes nothing"
RELOAD = "loaders can be asked for again"
VALIDATION = "validation changes nothing"
SPLIT = "each setup makes the same split"
SECOND = "a second fit sees what the first saw"
EPOCH = "each epoch has its own order"
ALL_SAMPLES = "evaluation sees every sample"
WORKERS = "workers change nothing"
RANKS = "two ranks prepare once and set up twice"
PREREQUISITES: dict[str, tuple[str, ...]] = {
    VALIDATION: (READING,),
    "the sanity check changes nothing": (READING, RELOAD, VALIDATION),
    WORKERS: (READING,),
    "a resumed run goes on in its epoch": (READING, RELOAD, VALIDATION),
    RELOAD: (READING,),
    SPLIT: (READING,),
    REPEATS: (READING,),
    SECOND: (READING, SPLIT, RELOAD),
    "it works again after an error": (READING, SPLIT, RELOAD, SECOND),
    "splits are disjoint": (SPLIT,),
    "another seed gives another order": (EPOCH,),
    "augmentation differs between epochs": (EPOCH,),
    "every pass shows every class": (ALL_SAMPLES,),
    RANKS: ("setup needs nothing that prepare data left on the object",),
    "two ranks share an epoch": (RANKS,),
    "a plain fit runs": ("setup and teardown take the stage",),
}
"""By rule: its prerequisites, the rules without which it can't be judged.

A broken prerequisite is the cause, unless reseeding all draws repairs the prerequisite and not the
rule.
"""
POSSIBLE_CAUSES: dict[str, tuple[str, ...]] = {
    VALIDATION: (DRAWS, HOOKS),
    "the sanity check changes nothing": (DRAWS, HOOKS),
    WORKERS: (DRAWS, HOOKS, RELOAD),
    "loading leaves the global generators alone": (DRAWS,),
    "a resumed run goes on in its epoch": (STATE, DRAWS, HOOKS),
    RELOAD: (HOOKS, DRAWS, REPEATS),
    SPLIT: (HOOKS, REPEATS),
    REPEATS: (HOOKS, DRAWS),
    SECOND: (HOOKS,),
    "it works again after an error": (HOOKS,),
    "splits are disjoint": (HOOKS,),
    "another seed gives another order": (HOOKS,),
    EPOCH: (HOOKS,),
    "augmentation differs between epochs": (HOOKS,),
}
"""By rule: rules that explain why it is broken if reseeded draws repair it, likeliest first."""


def root_cause(name: str, observations: Observations, tests: Mapping[str, RuleTest]) -> str | None:
    """Return the name of the broken rule that explains why the rule `name` is broken, or None.

    If rule A explains rule B, and B explains `name`, return A. Rules that are not selected explain
    nothing.
    """
    for cause in (*PREREQUISITES.get(name, ()), *POSSIBLE_CAUSES.get(name, ())):
        selected = observations.selected_rules
        if selected is not None and cause not in selected:
            continue
        if is_broken(tests[cause], observations) and _is_sufficient_cause(
            cause, name, observations, tests
        ):
            return root_cause(cause, observations, tests) or cause
    return None


def _is_sufficient_cause(
    cause: str, name: str, observations: Observations, tests: Mapping[str, RuleTest]
) -> bool:
    """Return whether the broken rule `cause` alone can explain that the rule `name` is broken.

    A draw is a use of random numbers. `Observations.reseeded` observes the same scenarios with all
    draws reseeded, and runs each at its first use. The first case that applies decides:

    1. With reseeded draws nothing can be judged (`Observations.obstacle`): True.
    2. `cause` is a prerequisite of `name`, and stays broken with reseeded draws: True.
    3. `name` is REPEATS and `cause` is DRAWS: True if training is not map-style and shares a class
       of dataset with validation. Else False, because evaluation can't depend on training's draws.
    4. `name` is not broken with reseeded draws: True.
    5. `name` is SPLIT and training is not map-style: True, because draws of a stream are reseeded
       for each epoch, and a stage alone is in another epoch than one after a fit.
    6. `cause` is DRAWS and a training loader is not a DataLoader: True, because its draws can't be
       reseeded.
    7. Any other case: False.
    """
    reseeded = observations.reseeded
    if reseeded.obstacle:
        return True
    if cause in PREREQUISITES.get(name, ()) and is_broken(tests[cause], reseeded):
        return True
    default_fit = observations.default_fit
    if name == REPEATS and cause == DRAWS:
        classes = default_fit.dataset_classes
        return bool(classes["fit"] & classes.get("validate", set())) and not default_fit.map_style
    if not is_broken(tests[name], reseeded):
        return True
    if name == SPLIT:
        return not default_fit.map_style
    return cause == DRAWS and not default_fit.can_be_reseeded


def is_broken(test: RuleTest, observations: Observations) -> bool:
    """Return whether `test` fails; a rule that can't be judged is not broken."""
    try:
        test(observations)
    except NotJudged:
        return False
    except (Exception, SystemExit):
        return True
    return False

"""Which broken rules follow from which: one finding for one cause."""

from collections.abc import Callable, Mapping

import pytest

from datamodule_conformance.observations import Observations, require

Tests = Mapping[str, Callable[[Observations], None]]
"""Each rule's test, by its name."""

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
WHOLE = "evaluation sees every sample"
WORKERS = "workers change nothing"
RANKS = "two ranks prepare once and set up twice"
PRESUMED: dict[str, tuple[str, ...]] = {
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
    "every pass shows every class": (WHOLE,),
    RANKS: ("setup needs nothing that prepare data left on the object",),
    "two ranks share an epoch": (RANKS,),
    "a plain fit runs": ("setup and teardown take the stage",),
}
"""By rule: those without which its break says nothing new; one that is broken is the cause, unless
steady draws mend that one and not the other."""
EXPLAINED: dict[str, tuple[str, ...]] = {
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
"""By rule: those whose break explains its own, where it holds as soon as draws are steady; the
likelier first, since what two of them break together tells no more."""


def root(name: str, observations: Observations, tests: Tests) -> str | None:
    """The broken rule from which the break of the rule `name` follows, if it does."""
    for cause in (*PRESUMED.get(name, ()), *EXPLAINED.get(name, ())):
        if _is_broken(cause, observations, tests) and _follows(name, cause, observations, tests):
            return root(cause, observations, tests) or cause
    return None


def _follows(name: str, cause: str, observations: Observations, tests: Tests) -> bool:
    """Whether the rule `name` holds once draws are steady, or must be presumed to follow.

    Evaluation has draws of its own, but where its dataset is of the class that training's is.
    """
    steady = observations.steady
    if steady.obstacle:
        return True  # it can't be tried
    if cause in PRESUMED.get(name, ()) and _breaks(tests[cause], steady):
        return True
    plain = observations.plain
    if name == REPEATS and cause == DRAWS:
        shared = plain.datasets["fit"] & plain.datasets.get("validate", set())
        return bool(shared) and not plain.indexed
    if not _breaks(tests[name], steady):
        return True
    return not plain.indexed and (cause == DRAWS or name == SPLIT)  # a stream's can't be made so


def _is_broken(name: str, observations: Observations, tests: Tests) -> bool:
    """Whether the rule `name` is among those to be judged, and does not hold."""
    asked = observations.asked
    return (asked is None or name in asked) and _breaks(tests[name], observations)


def _breaks(test: Callable[[Observations], None], observations: Observations) -> bool:
    try:
        require(test, observations)
        test(observations)
    except pytest.skip.Exception:
        return False
    except Exception:
        return True
    return False

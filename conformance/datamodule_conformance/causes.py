"""Which broken rules follow from which: one finding for one cause."""

from collections.abc import Callable, Mapping

import pytest

from datamodule_conformance.observations import Observations

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
CAUSES: dict[str, tuple[str, ...]] = {
    "validation changes nothing": (READING, HOOKS, DRAWS),
    "the sanity check changes nothing": (READING, RELOAD, VALIDATION, HOOKS, DRAWS),
    "workers change nothing": (READING, HOOKS, DRAWS),
    "loading leaves the global generators alone": (DRAWS,),
    "a resumed run goes on in its epoch": (READING, STATE, VALIDATION, HOOKS, DRAWS),
    "loaders can be asked for again": (READING, HOOKS, DRAWS, REPEATS),
    "each setup makes the same split": (READING, HOOKS, REPEATS),
    "evaluation repeats": (READING, HOOKS),
    "a second fit sees what the first saw": (READING, SPLIT, RELOAD, HOOKS),
    "it works again after an error": (READING, SPLIT, RELOAD, SECOND, HOOKS),
    "splits are disjoint": (SPLIT, HOOKS),
    "another seed gives another order": (HOOKS,),
    "each epoch has its own order": (HOOKS,),
    "augmentation differs between epochs": (EPOCH, HOOKS),
    "every pass shows every class": (WHOLE,),
}
"""By rule: those whose break may break it too, the first that is broken being the cause."""
PROVED = {HOOKS, DRAWS, STATE, REPEATS}
"""Causes that can be taken away: with steady draws, a rule that follows from one of them holds.

The others make it impossible to judge what follows from them.
"""


def root(name: str, observations: Observations, tests: Tests) -> str | None:
    """The broken rule from which the break of the rule `name` follows, if it does."""
    for cause in CAUSES.get(name, ()):
        if _is_broken(cause, observations, tests) and (
            cause not in PROVED or _is_explained(name, observations, tests)
        ):
            return root(cause, observations, tests) or cause
    return None


def _is_explained(name: str, observations: Observations, tests: Tests) -> bool:
    """Whether the rule `name` holds once draws are steady, or that can't be tried."""
    if not observations.plain.indexed:
        return True
    return not _breaks(tests[name], observations.steady)


def _is_broken(name: str, observations: Observations, tests: Tests) -> bool:
    """Whether the rule `name` is among those to be judged, and does not hold."""
    asked = observations.asked
    return (asked is None or name in asked) and _breaks(tests[name], observations)


def _breaks(test: Callable[[Observations], None], observations: Observations) -> bool:
    try:
        test(observations)
    except pytest.skip.Exception:
        return False
    except Exception:
        return True
    return False

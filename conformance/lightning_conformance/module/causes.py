"""Causes: which broken rules of a module follow from which, so that one fault is reported once."""

from collections.abc import Mapping
from typing import Any

from lightning_conformance.causes import RANKS, RuleTest, is_broken

BATCH = "evaluation does not depend on the batch size"
MODE = "evaluation is without dropout and batch statistics"
SEED = "the same seed gives the same weights"
VALIDATION = "validation changes no weights"
TWICE = "the same evaluation twice gives the same metrics"
RESUME = "a resumed fit ends like an undisturbed one"
PREREQUISITES: dict[str, tuple[str, ...]] = {
    TWICE: (MODE, VALIDATION),
    BATCH: (MODE, TWICE),
    "two ranks log what one process logs": (MODE, TWICE, BATCH),
    "the module fits on two ranks": (RANKS, "two ranks share an epoch"),
    "a fit resumed within an epoch ends like an undisturbed one": (RESUME,),
    "a loaded module gives the same results": (MODE, TWICE, RESUME),
    SEED: ("the same seed gives the same batches", "a fresh process sees the same"),
}
"""By rule of a module: rules, of the module or of its DataModule, that explain why it is broken."""


def root_cause(name: str, project: Any, tests: Mapping[str, RuleTest]) -> str | None:
    """Return the name of the broken rule that explains why the rule `name` is broken, or None.

    Each rule of `tests` is evaluated on the observations that it takes: `project` for a rule of a
    module, `project.data` for one of a DataModule. Rules that are not selected explain nothing.
    """
    selected = project.selected_rules
    for cause in PREREQUISITES.get(name, ()):
        if (selected is None or cause in selected) and is_broken(tests[cause], project):
            return root_cause(cause, project, tests) or cause
    return None

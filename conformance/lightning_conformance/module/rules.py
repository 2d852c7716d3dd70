"""The decorator of rules about a LightningModule and its fit."""

from collections.abc import Callable
from typing import Any

from lightning_conformance.causes import RuleTest
from lightning_conformance.module.observations import repeatable_module
from lightning_conformance.rules import rule


def module_rule(
    why: str, fix: str, requires: Callable[[Any], None] | None = repeatable_module
) -> Callable[[RuleTest], RuleTest]:
    """Attach a Rule about the module to the decorated test, see `lightning_conformance.rules.rule`.

    The test takes ProjectObservations. By default, the rule is judged if fits can be repeated.
    """
    return rule(why, fix, requires, about_module=True)

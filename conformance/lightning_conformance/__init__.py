"""The contract of a Lightning project, as tests that run against any of them.

    pytest --pyargs lightning_conformance --datamodule my.data:MyData --module my.model:MyModel

Without --module, the LightningDataModule alone is judged.

Each test is a rule. A broken rule says what was seen, why it matters and how to fix it. `check`
runs all rules inside another test. `python -m lightning_conformance` lists the rules.
See docs/conformance.md.
"""

import gc
import signal
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check(
    datamodule: Any,
    module: Any = None,
    module_arguments: Mapping[str, Any] | None = None,
    /,
    **arguments: Any,
) -> None:
    """Judge a DataModule, and a LightningModule with it, by every rule.

    Return None if no rule is broken.

        def test_my_data() -> None:
            check(MyDataModule, root="data")

        def test_my_project() -> None:
            check(MyDataModule, MyModule, {"width": 8}, root="data")

    Args:
        datamodule: a class, or a function that returns a DataModule, or a DataModule that called
            save_hyperparameters(). The kit makes new DataModules from it, also in new processes.
        module: None to judge the DataModule alone; or a class, a function that returns a
            LightningModule, or a LightningModule that called save_hyperparameters().
        module_arguments: arguments of `module`.
        arguments: arguments of `datamodule`.

    Raises:
        AssertionError: rules are broken that the project does not acknowledge (the text describes
            each of them), or no rule about a fit could be judged.
        ValueError: no new DataModule or LightningModule can be made, or an acknowledged deviation
            is invalid; the text says why, with the remedy.
    """
    __tracebackhide__ = True
    # Every pytest session imports this package for its options. Importing torch takes seconds.
    from lightning_conformance.acknowledged import Deviations
    from lightning_conformance.messages import quiet_lightning
    from lightning_conformance.module.observations import ProjectObservations
    from lightning_conformance.module.source import Project, module_source_of
    from lightning_conformance.observations import Observations
    from lightning_conformance.report import NOTHING_JUDGED, describe_counts, nothing_judged
    from lightning_conformance.results import Outcome
    from lightning_conformance.rules import rules
    from lightning_conformance.signals import catch_signals, raise_if_received, received
    from lightning_conformance.source import source_of

    source, results = source_of(datamodule, arguments), []
    judged: Any = source
    if module is not None:
        judged = Project(module_source_of(module, dict(module_arguments or {})), source)
    deviations = Deviations.load(source.path, Path.cwd())
    frozen = gc.get_freeze_count()
    try:
        with warnings.catch_warnings(), catch_signals(), quiet_lightning():
            warnings.simplefilter("ignore")  # a project's tests may turn warnings into errors
            judged.make(0)
            observations: Any = Observations(source)
            if module is not None:
                observations = ProjectObservations(judged, observations)
            for rule in rules(about_module=module is not None):
                results.append(deviations.apply(rule.judge(observations)))
                raise_if_received()
    except KeyboardInterrupt:
        if number := received():
            signal.raise_signal(number)  # for the handlers of the project's tests
        raise
    finally:
        if not frozen:
            gc.unfreeze()
    broken = [result for result in results if result.outcome is Outcome.BROKEN]
    if nothing_judged(results):
        reasons = {result.reason for result in results if result.reason}
        raise AssertionError(f"{judged}: {NOTHING_JUDGED} {'; '.join(sorted(reasons))}")
    if broken:
        names = "; ".join(result.rule for result in broken)  # for pytest's short summary
        end = f"{judged}: {describe_counts(results)} {deviations.note}".strip()
        raise AssertionError("\n".join([f"broken: {names}", "", *map(str, broken), end]))

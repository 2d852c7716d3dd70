"""The contract of a LightningDataModule, as tests that run against any of them.

    pytest --pyargs lightning_conformance --datamodule my.module:MyDataModule

Each test is a rule. A broken rule says what was seen, why it matters and how to fix it. `check`
runs all rules inside another test. `python -m lightning_conformance` lists the rules.
See docs/conformance.md.
"""

import signal
import warnings
from pathlib import Path
from typing import Any


def check(datamodule: Any, /, **arguments: Any) -> None:
    """Judge a DataModule by every rule; return None if none is broken.

        def test_my_data() -> None:
            check(MyDataModule, root="data")

    Args:
        datamodule: a class, or a function that returns a DataModule, or a DataModule that called
            save_hyperparameters(). The kit makes new DataModules from it, also in new processes.
        arguments: arguments of the class or function.

    Raises:
        AssertionError: rules are broken that the project does not acknowledge (the text describes
            each of them), or no rule about a fit could be judged.
        ValueError: no new DataModule can be made, or an acknowledged deviation is invalid; the
            text says why, with the remedy.
    """
    __tracebackhide__ = True
    # Every pytest session imports this package for its options. Importing torch takes seconds.
    from lightning_conformance.acknowledged import Deviations
    from lightning_conformance.observations import Observations
    from lightning_conformance.report import NOTHING_JUDGED, describe_counts, nothing_judged
    from lightning_conformance.rules import Outcome, rules
    from lightning_conformance.signals import catch_signals, raise_if_received, received
    from lightning_conformance.source import source_of

    source, results = source_of(datamodule, arguments), []
    deviations = Deviations.load(source.path, Path.cwd())
    try:
        with warnings.catch_warnings(), catch_signals():
            warnings.simplefilter("ignore")  # a project's tests may turn warnings into errors
            source.make(0)
            observations = Observations(source)
            for rule in rules():
                results.append(deviations.apply(rule.judge(observations)))
                raise_if_received()
    except KeyboardInterrupt:
        if number := received():
            signal.raise_signal(number)  # for the handlers of the project's tests
        raise
    broken = [str(result) for result in results if result.outcome is Outcome.BROKEN]
    if nothing_judged(results):
        reasons = {result.reason for result in results if result.reason}
        raise AssertionError(f"{source}: {NOTHING_JUDGED} {'; '.join(sorted(reasons))}")
    if broken:
        raise AssertionError("\n".join(["", *broken, f"{source}: {describe_counts(results)}"]))

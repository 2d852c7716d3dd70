"""Judge a DataModule by all rules without a pytest session: the implementation of `check`."""

import warnings
from pathlib import Path

from datamodule_conformance.acknowledged import Deviations
from datamodule_conformance.observations import Observations
from datamodule_conformance.report import describe_counts
from datamodule_conformance.results import Outcome
from datamodule_conformance.rules import rules
from datamodule_conformance.source import DataModuleSource


class NotConforming(AssertionError):
    """Rules are broken. The text names each one, with what was seen, why it matters and the fix."""


def judge(source: DataModuleSource) -> None:
    """Judge the DataModule by all rules; return None if none is broken.

    Raises:
        NotConforming: rules are broken that the project does not acknowledge.
        AcknowledgedError: an acknowledged deviation is invalid.
        SourceError: the DataModule can't be made.
    """
    __tracebackhide__ = True
    deviations = Deviations.load(source.path, Path.cwd())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a project's tests may turn warnings into errors
        source.make(0)
        observations = Observations(source)
        results = [deviations.apply(rule.judge(observations)) for rule in rules()]
    broken = [str(result) for result in results if result.outcome is Outcome.BROKEN]
    if broken:
        raise NotConforming("\n".join(["", *broken, f"{source}: {describe_counts(results)}"]))

"""The contract of a LightningDataModule, as tests that run against any of them.

    pytest --pyargs datamodule_conformance --datamodule my.module:MyDataModule

Each test is a rule. A broken rule says what was seen, why it matters and how to fix it. `check`
runs all rules inside another test. `python -m datamodule_conformance` lists the rules.
See docs/conformance.md.
"""

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
        AssertionError: rules are broken; the text describes each of them.
        ValueError: no new DataModule can be made; the text says why, with the remedy.
    """
    __tracebackhide__ = True
    # Every pytest session imports this package for its options. Importing torch takes seconds.
    from datamodule_conformance.checking import judge
    from datamodule_conformance.source import source_of

    judge(source_of(datamodule, arguments))

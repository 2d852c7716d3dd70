"""The contract of a LightningDataModule, as tests that run against anybody's.

    pytest --pyargs datamodule_conformance --datamodule my.module:MyDataModule

Each test is a rule. A broken one says what was seen, why it matters and how to mend it. `check`
does the same in a test of one's own. `python -m datamodule_conformance` lists the rules.
See docs/conformance.md.
"""

from typing import Any


def check(datamodule: Any, /, **arguments: Any) -> None:
    """Judge a DataModule by every rule.

        def test_my_data() -> None:
            check(MyDataModule, root="data")

    Args:
        datamodule: a class, or a function that returns a DataModule, with its `arguments`; or an
            object whose arguments save_hyperparameters() has kept. New ones are made of it, in
            other processes too.

    Raises:
        AssertionError: rules are broken; its text is that of each.
        ValueError: new ones can't be made of it.
    """
    __tracebackhide__ = True
    # Every pytest imports this package, to know its options; torch takes seconds.
    from datamodule_conformance.checking import judge, source_of

    judge(source_of(datamodule, arguments))

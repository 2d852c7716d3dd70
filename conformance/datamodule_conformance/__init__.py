"""The contract of a LightningDataModule, as tests that run against anybody's.

    pytest --pyargs datamodule_conformance --datamodule my.module:MyDataModule

Each test is a rule. A broken one says what was seen, why it matters and how to mend it.
`python -m datamodule_conformance` lists the rules. See docs/conformance.md.
"""

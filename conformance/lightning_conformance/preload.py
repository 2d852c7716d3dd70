"""What the fork server imports, once for all of its processes."""

from lightning_conformance import imports

imports.load_torchmetrics_lazily()
with imports.without_collection():
    import lightning_conformance.module.fit
    import lightning_conformance.scenario  # noqa: F401

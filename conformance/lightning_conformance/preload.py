"""What the fork server imports, once for all of its processes."""

from lightning_conformance import imports

imports.load_torchmetrics_lazily()
with imports.without_collection():
    import lightning_conformance.module.fit  # noqa: F401
    from lightning_conformance.scenario import all_entry_points

    all_entry_points()

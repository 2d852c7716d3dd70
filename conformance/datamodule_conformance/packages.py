"""Lightning's two packages: the same code under two names, with unrelated classes."""

import sys
from types import ModuleType

NAMES = ("pytorch_lightning", "lightning.pytorch")


def package_of(kind: type) -> ModuleType | None:
    """Return the imported package whose LightningDataModule `kind` derives from, or None."""
    for name in NAMES:
        package = sys.modules.get(name)
        if package is not None and issubclass(kind, package.LightningDataModule):
            return package
    return None

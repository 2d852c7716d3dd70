"""Lightning's two packages: the same code under two names, with unrelated classes."""

import sys
from types import ModuleType

NAMES = ("pytorch_lightning", "lightning.pytorch")


def package_of(kind: type) -> ModuleType | None:
    """The imported package whose LightningDataModule the class `kind` derives from, if any."""
    for name in NAMES:
        package = sys.modules.get(name)
        if package is not None and issubclass(kind, package.LightningDataModule):
            return package
    return None

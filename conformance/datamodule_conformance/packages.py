"""Lightning's packages: the same code under two names, whose classes are strange to each other."""

import sys
from types import ModuleType

NAMES = ("pytorch_lightning", "lightning.pytorch")


def package_of(kind: type) -> ModuleType | None:
    """The one whose Trainer takes DataModules of this class, which has imported it."""
    for name in NAMES:
        package = sys.modules.get(name)
        if package is not None and issubclass(kind, package.LightningDataModule):
            return package
    return None

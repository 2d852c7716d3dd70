"""`python -m tests.support.small <command>`: the command line with a ResNet of one narrow block.

For tests that need a process of their own but not 25 million weights.
"""

import sys
from collections.abc import Callable
from typing import Any

if __name__ == "__main__":
    from benchmark.common.signals import end_on_signals

    end_on_signals()  # before torch, which takes seconds to load

from torch import nn
from torchvision.models import get_model_builder
from torchvision.models.resnet import BasicBlock, ResNet

CHANNELS = 16


class SmallResNet(ResNet):
    """ResNet18's stem and head with one block between them that halves height and width.

    It has a layer of each kind and 22,000 weights.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes)
        self.fc = nn.Linear(CHANNELS, num_classes)

    def _make_layer(self, block: Any, planes: int, *shape: Any, **options: Any) -> nn.Sequential:
        """Make ResNet18's second layer with fewer channels; leave the other layers empty."""
        if planes != 128:
            return nn.Sequential()
        return super()._make_layer(block, CHANNELS, *shape, **options)


def builder(name: str) -> Callable[..., nn.Module]:
    """Return torchvision's builder of a network; for resnet50 that of the small network."""
    return resnet if name == "resnet50" else get_model_builder(name)


def resnet(weights: None, num_classes: int) -> ResNet:
    """Make the small network; stands in for torchvision's resnet50."""
    return SmallResNet(num_classes)


def main(arguments: list[str]) -> Any:
    """Run one command with the small network."""
    from benchmark.command_line import main as command

    replace_networks()
    hide_torch_xla(*arguments)
    return command(arguments)


def replace_networks() -> None:
    """Use the small network in this process and in the processes that it starts."""
    import benchmark.distributed.launcher
    import benchmark.throughput.run_process
    import benchmark.training.networks

    benchmark.training.networks.get_model_builder = builder
    benchmark.distributed.launcher.MODULE = "tests.support.small"
    benchmark.throughput.run_process.PROCESS_MODULE = "tests.support.small_process"


def hide_torch_xla(*names: str) -> None:
    """Make torch_xla impossible to import, unless "xla" is among `names`.

    Lightning imports torch_xla wherever it is installed, which takes seconds.
    """
    if "xla" not in names:
        sys.modules["torch_xla"] = None  # type: ignore[assignment]


def pytest_configure() -> None:
    """Use the small network in tests: `pytest -p tests.support.small`."""
    replace_networks()
    hide_torch_xla()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

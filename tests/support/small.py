"""`python -m tests.support.small <command>`: the command line with a ResNet of one narrow block.

For tests that need a process of their own but not 25 million weights.
"""

import sys
from typing import Any

if __name__ == "__main__":
    from benchmark.common.signals import end_on_signals

    end_on_signals()  # before torch, which takes seconds to load

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

CHANNELS = 16


class SmallResNet(ResNet):
    """Of ResNet18 the stem, one block that halves the image's sides, and the head: a layer of each
    kind, and 22,000 weights."""

    def __init__(self, num_classes: int, norm_layer: type[nn.Module]) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes, norm_layer=norm_layer)
        self.fc = nn.Linear(CHANNELS, num_classes)

    def _make_layer(self, block: Any, planes: int, *shape: Any, **options: Any) -> nn.Sequential:
        """ResNet18's second layer, of fewer channels; none of the others."""
        if planes != 128:
            return nn.Sequential()
        return super()._make_layer(block, CHANNELS, *shape, **options)


def resnet(weights: None, num_classes: int, norm_layer: type[nn.Module]) -> ResNet:
    """In the place of torchvision's resnet50."""
    return SmallResNet(num_classes, norm_layer)


def main(arguments: list[str]) -> Any:
    """Run one command with the small network."""
    from benchmark.command_line import main as command

    replace_networks()
    hide_torch_xla(*arguments)
    return command(arguments)


def replace_networks() -> None:
    """The small network for this process, and for those that it measures with."""
    import benchmark.distributed.launcher
    import benchmark.throughput.run_process
    import benchmark.training.model

    benchmark.training.model.resnet50 = resnet
    benchmark.distributed.launcher.MODULE = "tests.support.small"
    benchmark.throughput.run_process.PROCESS_MODULE = "tests.support.small_process"


def hide_torch_xla(*names: str) -> None:
    """Unless "xla" is among the names: Lightning imports it, in seconds, wherever it is installed.

    A process in which it is hidden is one of a machine without it.
    """
    if "xla" not in names:
        sys.modules["torch_xla"] = None  # type: ignore[assignment]


def pytest_configure() -> None:
    """As a plugin of pytest's: `-p tests.support.small`."""
    replace_networks()
    hide_torch_xla()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m tests.small <command>`: the command line with a ResNet of four blocks.

For tests that need a process of their own but not 25 million weights.
"""

import sys
from typing import Any

from torchvision.models.resnet import BasicBlock, ResNet


def resnet(weights: None, num_classes: int) -> ResNet:
    """In the place of torchvision's resnet50."""
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)


def main(arguments: list[str]) -> Any:
    """Run one command with the small network."""
    from benchmark.__main__ import main as command

    pytest_configure()
    return command(arguments)


def pytest_configure() -> None:
    """As a plugin of pytest's (`-p tests.small`): the small network for this process, and for
    those that it measures with."""
    import benchmark.throughput.launch
    import benchmark.training.model

    benchmark.training.model.resnet50 = resnet
    benchmark.throughput.launch.PROCESS_MODULE = "tests.throughput.small_process"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

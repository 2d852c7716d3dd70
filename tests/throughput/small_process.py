"""`python -m tests.throughput.small_process RESULT`: a measuring process with a small ResNet."""

import sys
from typing import Any

if __name__ == "__main__":
    import benchmark.training.model
    from benchmark.throughput import efficiency, process
    from tests.small import hide_torch_xla, resnet

    def attempt(accelerator: str, *others: Any) -> Any:
        """As it is, without what only XLA needs."""
        hide_torch_xla(accelerator)
        return plain(accelerator, *others)

    plain, process.attempt = process.attempt, attempt
    benchmark.training.model.resnet50 = resnet
    efficiency.MATRIX_SIDES = efficiency.MATRIX_SIDES[:1]
    process.main(sys.argv[1:])

"""`python -m tests.throughput.small_process RESULT`: a measuring process with a small ResNet."""

import sys
from collections.abc import Callable
from typing import Any

if __name__ == "__main__":
    import benchmark.training.model
    from benchmark.throughput import efficiency, measuring_process
    from tests.support.small import hide_torch_xla, resnet

    def hiding(work: Callable[..., Any]) -> Callable[..., Any]:
        """The same, without what only XLA needs."""

        def hidden(accelerator: str, *others: Any) -> Any:
            hide_torch_xla(accelerator)
            return work(accelerator, *others)

        return hidden

    measuring_process.measure, measuring_process.profile = map(
        hiding, (measuring_process.measure, measuring_process.profile)
    )
    benchmark.training.model.resnet50 = resnet
    efficiency.MATRIX_SIDES = efficiency.MATRIX_SIDES[:1]
    measuring_process.main(sys.argv[1:])

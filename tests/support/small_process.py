"""`python -m tests.support.small_process RESULT`: a measuring process with a small ResNet."""

import sys
from collections.abc import Callable
from typing import Any

if __name__ == "__main__":
    import benchmark.training.model
    from benchmark.throughput import measuring_process, profile
    from tests.support.small import hide_torch_xla, resnet

    def hiding(work: Callable[..., Any]) -> Callable[..., Any]:
        """The same, without what only XLA needs."""

        def hidden(accelerator: str, *others: Any) -> Any:
            hide_torch_xla(accelerator)
            return work(accelerator, *others)

        return hidden

    measuring_process.measure, measuring_process.make_profile = map(
        hiding, (measuring_process.measure, measuring_process.make_profile)
    )
    benchmark.training.model.resnet50 = resnet
    profile.MATRIX_SIDES = profile.MATRIX_SIDES[:1]
    measuring_process.main(sys.argv[1:])

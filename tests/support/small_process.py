"""`python -m tests.support.small_process RESULT`: a measuring process with a small ResNet."""

import sys
from collections.abc import Callable
from typing import Any

if __name__ == "__main__":
    import benchmark.training.networks
    from benchmark.throughput import measuring_process, profile
    from tests.support.small import builder, hide_torch_xla

    def hiding(work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work` with torch_xla hidden while it measures another accelerator."""

        def hidden(accelerator: str, *arguments: Any) -> Any:
            hide_torch_xla(accelerator)
            return work(accelerator, *arguments)

        return hidden

    measuring_process.measure, measuring_process.make_profile = map(
        hiding, (measuring_process.measure, measuring_process.make_profile)
    )
    benchmark.training.networks.get_model_builder = builder
    profile.MATRIX_SIDES = profile.MATRIX_SIDES[:1]
    measuring_process.main(sys.argv[1:])

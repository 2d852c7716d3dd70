"""`python -P small_worker.py`: one side of a pair with a small ResNet."""

import os
import sys

if __name__ == "__main__":
    import benchmark.training.networks
    from benchmark.interleave import side_process
    from tests.support import stand_in_peer
    from tests.support.small import builder, hide_torch_xla

    hide_torch_xla(*sys.argv)
    benchmark.training.networks.get_model_builder = builder
    if "TESTS_STAND_IN_PEER" in os.environ:
        sys.modules["benchmark.timing.timm_peer"] = stand_in_peer
    side_process.main()

"""`python -P small_worker.py`: one side of a pair with a small ResNet."""

import os
import sys

if __name__ == "__main__":
    import benchmark.training.model
    from benchmark.interleave import side_process
    from tests.support import stand_in_peer
    from tests.support.small import hide_torch_xla, resnet

    hide_torch_xla(*sys.argv)
    benchmark.training.model.resnet50 = resnet
    if "TESTS_STAND_IN_PEER" in os.environ:
        sys.modules["benchmark.timing.timm_peer"] = stand_in_peer
    side_process.main()

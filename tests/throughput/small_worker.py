"""`python -P small_worker.py`: one side of a pair with a small ResNet."""

import sys

if __name__ == "__main__":
    import benchmark.training.model
    from benchmark.interleave import side_process
    from tests.support.small import hide_torch_xla, resnet

    hide_torch_xla(*sys.argv)
    benchmark.training.model.resnet50 = resnet
    side_process.main()

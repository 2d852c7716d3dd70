"""`python -m tests.throughput.small_process RESULT`: a measuring process with a small ResNet."""

import sys

if __name__ == "__main__":
    import benchmark.training.model
    from benchmark.throughput.process import main
    from tests.small import resnet

    benchmark.training.model.resnet50 = resnet
    main(sys.argv[1:])

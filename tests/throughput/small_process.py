"""`python -m tests.small_worker RESULT`: a measuring process with a ResNet of four blocks."""

import sys

if __name__ == "__main__":
    import benchmark.model
    from benchmark.worker import main
    from tests.small import resnet

    benchmark.model.resnet50 = resnet
    main(sys.argv[1:])

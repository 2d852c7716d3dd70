"""`python -m benchmark.throughput RESULT`: one measuring process."""

import sys

from benchmark.common import slim_torchmetrics

if __name__ == "__main__":
    slim_torchmetrics.install()  # before Lightning is imported
    from benchmark.throughput.measuring_process import main

    main(sys.argv[1:])

"""`python -m benchmark <command>`."""

import io
import sys

from benchmark.common import slim_torchmetrics
from benchmark.common.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()  # before the slow imports
    slim_torchmetrics.install()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: names in any encoding
    from benchmark.command_line import main

    sys.exit(main())

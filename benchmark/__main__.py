"""`python -m benchmark <command>`."""

import sys

from benchmark.common.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()  # before the slow imports
    from benchmark.command_line import main

    sys.exit(main())

"""`python -m tests.distributed.stand_in_rank ACTION FOLDER`: a rank for tests of the launcher.

The action is `end`, `die`, `fail` or `wait`.
"""

import os
import signal
import sys
import time
from pathlib import Path

from benchmark.distributed.launcher import report_errors_to_launcher
from benchmark.errors.user_error import UserError


def main(what: str, folder: Path, rank: str) -> None:
    """Write a file with the rank's name; then do the action `what`."""
    (folder / rank).write_text(os.environ["OMP_NUM_THREADS"])
    if what == "end":
        return
    if what == "die" and rank == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "fail" and rank == "1":
        raise UserError("This is wrong.", "Fix it.")
    if what == "fail":
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]")
    time.sleep(60)


if __name__ == "__main__":
    with report_errors_to_launcher():
        main(sys.argv[1], Path(sys.argv[2]), os.environ["RANK"])

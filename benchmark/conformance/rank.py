"""`python -m benchmark.conformance.rank FOLDER`: one rank of a run; Lightning starts the others."""

import os
import pickle
import sys
from pathlib import Path

from benchmark.conformance.runs import conduct


def main(folder: Path) -> None:
    """Do the run that FOLDER/run holds, and leave what was seen as FOLDER/seen-<rank>."""
    subject, run = pickle.loads((folder / "run").read_bytes())
    seen = conduct(subject, run)
    (folder / f"seen-{os.environ.get('LOCAL_RANK', '0')}").write_bytes(pickle.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""`python -m tests.mutants [NAME ...]`: do the tests notice the mistakes of mutants.toml?

Each mistake is made in a copy of the repository, one at a time, and the tests that should fail are
run there. The exit status is 0 if all mistakes are noticed, 1 if not, 2 if they cannot be tried.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.common import git
from tests.mutants import REPOSITORY, Mutant, faults, load
from tests.support.forked_python import python

TIMEOUT = 300
"""Seconds after which a mistake counts as noticed: the tests hang."""


def main(arguments: list[str]) -> int:
    """Try the mutants whose name contains an argument, or all; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("name", nargs="*", help="part of the names of the mutants; default: all")
    parser.add_argument(
        "--check", action="store_true", help="only name the rows of the table that do not apply"
    )
    options = parser.parse_args(arguments)
    names = options.name or [""]
    mutants = [mutant for mutant in load() if any(name in mutant.name for name in names)]
    if not mutants:
        return _refuse(f"No mutant's name contains {' or '.join(names)}.")
    if broken := faults(mutants):
        return _refuse("\n".join(broken))
    if options.check:
        print(f"{len(mutants)} mutants apply")
        return 0
    return try_all(mutants)


def try_all(mutants: Sequence[Mutant]) -> int:
    """Try `mutants` in a copy of the repository; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_repository(copy)
        failure = first_failure(copy, sorted({test for mutant in mutants for test in mutant.tests}))
        if failure:
            return _refuse(f"{failure} fails without a mutant. Correct that first.")
        noticed = [is_noticed(copy, mutant) for mutant in mutants].count(True)
    print(f"{noticed} of {len(mutants)} noticed")
    return int(noticed < len(mutants))


def copy_repository(target: Path) -> None:
    """Copy all files that git does not ignore, new ones included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(
        command, cwd=REPOSITORY, env=git.environment(), capture_output=True, text=True, check=True
    )
    for name in listing.stdout.rstrip("\0").split("\0"):
        if (REPOSITORY / name).is_file():  # a deleted file is listed too
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, path)


def is_noticed(root: Path, mutant: Mutant) -> bool:
    """Whether a test fails with `mutant` in the copy at `root`; prints which."""
    path = root / mutant.file
    original = path.read_text("utf-8")
    path.write_text(mutant.applied(original), "utf-8")
    failure = first_failure(root, mutant.tests)
    path.write_text(original, "utf-8")
    print(f"{mutant.name}: {f'noticed by {failure}' if failure else 'NOT NOTICED'}", flush=True)
    return failure is not None


def first_failure(root: Path, tests: Iterable[str]) -> str | None:
    """The node id of the first of `tests` that fails in the copy at `root`."""
    command = [python(), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Processes that tests start elsewhere must import the copy too. A mutant of the same length
    # and second would not change the compiled module.
    environment = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'conformance'}", "PYTHONDONTWRITEBYTECODE": "1"
    }  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, timeout=TIMEOUT, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"no end within {TIMEOUT} s"
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    return failed[1] if failed else f"pytest's exit status {done.returncode}: {done.stdout[-500:]}"


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

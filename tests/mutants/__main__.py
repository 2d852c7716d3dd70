"""`python -m tests.mutants [PART OF A NAME ...]`: do the tests notice plausible mistakes?

Every mistake is made in a copy, one at a time, so that the working tree is never broken, and the
tests that should fail for it are run there.
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

TIMEOUT = 900
"""Seconds after which a mutant counts as killed: it hangs."""
REQUIRED = 0.9
"""Least part of the mutants that must be killed."""


def main(arguments: list[str]) -> int:
    """An exit status: 0, 1 if too many mutants survive, 2 if they cannot be tried."""
    options = _parser().parse_args(arguments)
    parts = options.part
    chosen = [m for m in load() if not parts or any(part in m.name for part in parts)]
    if not chosen:
        return _refused(f"No mutant's name holds {' or '.join(parts)}.")
    if wrong := faults(chosen):
        return _refused("\n".join(wrong))
    if options.check:
        print(f"{len(chosen)} mutants apply")
        return 0
    return try_all(chosen)


def try_all(mutants: Sequence[Mutant]) -> int:
    """Try `mutants` in a copy of the repository; an exit status as `main`'s."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_repository(copy)
        failure = first_failure(copy, {test for mutant in mutants for test in mutant.tests})
        if failure:
            return _refused(f"{failure} fails without a mutant. Correct that first.")
        killed = [is_killed(copy, mutant) for mutant in mutants].count(True)
    print(f"{killed} of {len(mutants)} killed ({killed / len(mutants):.1%})")
    return int(killed < REQUIRED * len(mutants))


def copy_repository(target: Path) -> None:
    """All files but those that git ignores; a test that is new counts before it is added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(
        command, cwd=REPOSITORY, env=git.environment(), capture_output=True, text=True, check=True
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        path = target / name
        if not (REPOSITORY / name).is_file():  # a link to an environment elsewhere
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, path)


def is_killed(root: Path, mutant: Mutant) -> bool:
    """Whether a test fails with `mutant` in the copy at `root`; says which."""
    path = root / mutant.file
    original = path.read_text("utf-8")
    path.write_text(mutant.applied(original), "utf-8")
    failure = first_failure(root, mutant.tests, TIMEOUT)
    path.write_text(original, "utf-8")
    verdict = f"killed by {failure}" if failure else "SURVIVED"
    print(f"{mutant.name}: {verdict}", flush=True)
    return failure is not None


def first_failure(root: Path, tests: Iterable[str], timeout: float | None = None) -> str | None:
    """The node id of the first of `tests` that fails in the copy at `root`."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Processes that tests start elsewhere must find the copy too.
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'conformance'}"}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, timeout=timeout, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"no end within {timeout} s"
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    return failed[1] if failed else f"pytest's exit status {done.returncode}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description="Puts mistakes into a copy, one at a time, and runs the tests for each.",
    )
    parser.add_argument("part", nargs="*", help="part of the names of those to try; else all")
    parser.add_argument(
        "--check", action="store_true", help="only name the rows of the table that do not apply"
    )
    return parser


def _refused(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

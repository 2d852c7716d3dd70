"""Set up and clean up a session of tests."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import util
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from hypothesis import settings

from benchmark.common.sockets import make_room_for_sockets
from benchmark.machine.lock import lock_file
from benchmark.machine.variables import offer_huge_pages
from tests.support.forked_python import start_server

# The same examples on each run, and no clock: the machine may be busy. New ones, and many, for
# `pytest --hypothesis-profile=soak -m fuzz`: pytest loads the profile that is asked for after this.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("soak", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile("suite")

BENCH = Path(__file__).parent / "throughput/bench"
"""Tests that measure: `make bench`."""
MEASURING = pytest.StashKey[bool]()
"""Whether a measurement runs while the tests run."""
SHORT = 40
"""Longest path in bytes of a temporary directory that leaves room for a socket's path in it."""


TERMINAL_VARIABLES = (
    "CI", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PY_COLORS",
    "PYTEST_THEME", "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip
"""What programs read about colours and terminals: a test sets those that it is about."""


def leave_the_job() -> None:
    """Remove the variables of a job of several processes: the tests are not one of its ranks."""
    several = ("SLURM_", "TORCHELASTIC_", "JSM_", "LSB_", "MASTER_")
    counts = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    for name in [n for n in os.environ if n.startswith(several) or n in counts]:
        del os.environ[name]
    if "pytorch_lightning" in sys.modules:  # and has read the rank
        from pytorch_lightning.utilities import rank_zero_only

        rank_zero_only.rank = 0


def use_own_settings(directory: Path, measures: bool) -> Callable[[], None]:
    """Keep the user's git variables and git and DVC settings from the tests; return the undo.

    In a hook of git, they would have the tests' git commit to the user's repository. Settings may
    demand signatures, run hooks or name a shared cache. The tests have a separate
    measuring lock, so that none waits for another measurement, unless this session `measures`.
    """
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        if name != "GIT_EXEC_PATH":  # where git itself lies
            patch.delenv(name)
    for name in TERMINAL_VARIABLES:
        patch.delenv(name, raising=False)
    settings = directory / "gitconfig"
    settings.write_text("[safe]\n\tdirectory = *\n")  # a container's checkout may be another user's
    patch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    if measures:
        offer_huge_pages()
    else:
        patch.setenv("BENCHMARK_LOCK_DIRECTORY", str(directory))
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        patch.setenv(name, str(directory / "dvc"))
    return patch.undo


def short_directory() -> Path | None:
    """Return /tmp if the temporary directory's path is long, else None.

    Below it tests make directories with sockets, whose paths are limited to about 100 bytes.
    """
    given = tempfile.gettempdir()
    too_long = len(os.fsencode(given)) > SHORT and os.access("/tmp", os.W_OK)
    return Path("/tmp") if too_long else None


def pytest_configure(config: pytest.Config) -> None:
    """Make a temporary directory for this session and its processes, before anything reads its
    path."""
    if "PYTEST_CURRENT_TEST" not in os.environ:  # not for a session within a test
        leave_the_job()
    make_room_for_sockets()
    util.get_temp_dir()  # multiprocessing removes it at exit, when this session's directory is gone
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    directory = tempfile.mkdtemp(prefix="b-", dir=short_directory())
    os.environ["TMPDIR"] = tempfile.tempdir = directory
    named = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    measures = any(path == BENCH or BENCH in path.parents for path in named)
    config.stash[MEASURING] = not measures and is_held(lock_file())
    config.add_cleanup(use_own_settings(Path(directory), measures))
    if is_controller(config):
        if sys.platform == "linux":
            config.add_cleanup(start_server().communicate)
    else:
        config.pluginmanager.import_plugin("tests.support.fixtures")
        if not measures:
            sys.modules["tests.support.fixtures"].use_one_thread()

    def restore() -> None:
        """Restore the variables: the kit's tests run a session inside this one."""
        os.environ.pop("TMPDIR")
        os.environ |= {"TMPDIR": before[0]} if before[0] is not None else {}
        tempfile.tempdir = before[1]
        shutil.rmtree(directory, ignore_errors=True)

    config.add_cleanup(restore)


def is_controller(config: pytest.Config) -> bool:
    """Whether xdist's workers run the tests: then this process does not load torch."""
    return bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")


def is_held(path: Path) -> bool:
    """Whether a process has locked the file."""
    try:
        with FileLock(path, timeout=0, mode=0o666):
            return False
    except Timeout:
        return True
    except OSError:  # cannot be opened: a measurement reports it
        return False


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Warn of a measurement: tests that run at the same time pass, but disturb it."""
    if not config.stash[MEASURING]:
        return []
    return [
        "A measurement is running on this machine. These tests disturb it, and its speed will be "
        "called unstable: end one of the two."
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse --benchmark-only without the folder of measurements: all tests would be skipped."""
    only = config.getoption("benchmark_only", False)
    if only and not any("benchmark" in getattr(item, "fixturenames", ()) for item in items):
        raise pytest.UsageError(
            "No measurement is among these tests. Name their folder: "
            "pytest tests/throughput/bench --benchmark-only"
        )

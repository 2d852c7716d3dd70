"""Each accelerator of params.yaml, ready to be timed; its figures as a table when all is done."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import quantiles
from typing import Any

import pytest

from benchmark.common import code
from benchmark.common.files import write_text
from benchmark.common.formatting import table
from benchmark.common.parameters import Parameters, load_parameters
from benchmark.common.results import REPORTS
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators, environment
from benchmark.machine.lock import measuring_lock
from benchmark.machine.processors import OtherLoad, disturbs, warn_if_busy
from benchmark.machine.sensors import warn_if_gpu_is_busy
from benchmark.throughput.summary import workload
from benchmark.timing.timer import ModeTimer
from benchmark.training import weights
from benchmark.training.inputs import check

PARAMETERS = load_parameters()
Said = Callable[[str], None]
HEADER = ("Accelerator", "Device", "Mode", "Images/s (quartiles)", "Rounds of steps")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Any) -> None:
    """What is saved names no host."""
    machine_info.pop("node", None)


@pytest.fixture(scope="session")
def parameters() -> Parameters:
    """The repository's."""
    return PARAMETERS


@pytest.fixture(scope="session")
def rows(said: Said) -> Iterator[list[tuple[str, ...]]]:
    """Lines of reports/benchmark.md, which is replaced at the end if all of it was measured."""
    lines: list[tuple[str, ...]] = []
    with OtherLoad() as load:
        yield lines
    present = [name for name in PARAMETERS.accelerators if accelerators.find(name).available]
    whole = len(present) * len(PARAMETERS.throughput.modes)
    if len(lines) == whole:
        write_text(REPORTS / "benchmark.md", page(lines, load.share))
    elif lines:
        said(f"{REPORTS / 'benchmark.md'} stays as it is: {len(lines)} of {whole} were measured.")


def page(lines: Sequence[tuple[str, ...]], others: float) -> str:
    """reports/benchmark.md; `others` is the part of the processors' time of other work."""
    doubt = (
        f"**Other work took {100 * others:.2g}% of the processors.** " if disturbs(others) else ""
    )
    return (
        f"# Training throughput, measured by pytest-benchmark\n\n{table(HEADER, lines)}\n\n"
        f"{doubt}One process each, so there are no intervals here: those of the throughput stage "
        "stand in report.md.\n"
    )


@pytest.fixture(scope="session")
def said(pytestconfig: pytest.Config) -> Said:
    """Prints where pytest would keep it for itself."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(words: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{words}", flush=True)

    return say


@pytest.fixture(scope="session")
def measuring(pytestconfig: pytest.Config) -> Iterator[None]:
    """No other measurement runs on this machine. XLA's runtime must be up before anything else is
    computed in this process."""
    names = sorted(PARAMETERS.accelerators, key=lambda name: name not in ("tpu", "xla"))
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with measuring_lock():
        with capture.global_and_fixture_disabled():
            warn_if_busy()
            for name in names:
                warn_if_gpu_is_busy(name)
        for name in names:
            if accelerators.find(name).available:
                accelerators.prepare(name)
        yield


@pytest.fixture(scope="session", params=PARAMETERS.accelerators)
def mode_timer(
    request: pytest.FixtureRequest, measuring: None, parameters: Parameters
) -> Iterator[ModeTimer]:
    """The modes on one accelerator; skips with the reason where it is absent."""
    found = accelerators.find(request.param)
    if not found.available:
        pytest.skip(f"{found.label} is unavailable: {found.reason}")
    with ExitStack() as stack:
        with one_line():
            check(found.name, parameters.train)
            ready = stack.enter_context(ModeTimer(found.name, parameters))
        yield ready


@contextmanager
def one_line() -> Iterator[None]:
    """What the user can correct ends the session with its message, once and without a traceback."""
    try:
        yield
    except UserError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


@pytest.fixture
def facts(mode_timer: ModeTimer, parameters: Parameters) -> dict[str, Any]:
    """What is saved beside the times: what was measured, and on what."""
    found = accelerators.find(mode_timer.accelerator)
    return {
        "accelerator": found.label,
        "device": found.device,
        "workload": workload(
            parameters,
            code.digest(code.STAGES["throughput"]),
            weights.fingerprint(parameters.model),
        ).model_dump(mode="json"),
        "environment": environment.fingerprint(found).model_dump(mode="json", exclude_none=True),
    }


def images_per_second(seconds: list[float], images: int) -> tuple[float, float, float]:
    """The quartiles over rounds."""
    low, middle, high = quantiles([images / each for each in seconds], n=4, method="inclusive")
    return low, middle, high

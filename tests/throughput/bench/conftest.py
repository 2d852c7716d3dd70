"""Timers for the accelerators of params.yaml, and a table of their rates in the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import quantiles
from typing import Any

import pytest

from benchmark.common import code
from benchmark.common.files import write_text
from benchmark.common.formatting import table
from benchmark.common.modes import PEERS
from benchmark.common.parameters import Parameters, load_parameters
from benchmark.common.results import REPORTS
from benchmark.errors.loader_errors import explain_loader_errors
from benchmark.errors.user_error import UserError, explain_system_errors
from benchmark.machine import accelerators, environment
from benchmark.machine.lock import measuring_lock
from benchmark.machine.processors import OtherLoad, disturbs, warn_if_busy
from benchmark.machine.sensors import warn_if_gpu_is_busy
from benchmark.throughput.summary import workload
from benchmark.timing.timer import ModeTimer
from benchmark.training import weights

PARAMETERS = load_parameters()
MODES = [mode for mode in PARAMETERS.throughput.modes if mode not in PEERS]
"""Modes that run in one process; the stage measures peers in processes of their own."""
PrintLine = Callable[[str], None]
HEADER = ("Accelerator", "Device", "Mode", "Images/s (quartiles)", "Rounds of steps")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Any) -> None:
    """Keep the host's name out of saved results."""
    machine_info.pop("node", None)


@pytest.fixture(scope="session")
def parameters() -> Parameters:
    """Parameters of the repository's params.yaml."""
    return PARAMETERS


@pytest.fixture(scope="session")
def rows(print_line: PrintLine) -> Iterator[list[tuple[str, ...]]]:
    """Rows of reports/benchmark.md, which is written in the end if all modes were measured."""
    lines: list[tuple[str, ...]] = []
    with OtherLoad() as load:
        yield lines
    present = [name for name in PARAMETERS.accelerators if accelerators.find(name).available]
    count = len(present) * len(MODES)
    if len(lines) == count:
        write_text(REPORTS / "benchmark.md", page(lines, load.share))
    elif lines:
        print_line(
            f"{REPORTS / 'benchmark.md'} stays as it is: {len(lines)} of {count} were measured."
        )


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
def print_line(pytestconfig: pytest.Config) -> PrintLine:
    """Prints a line that pytest does not capture."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def write(words: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{words}", flush=True)

    return write


@pytest.fixture(scope="session")
def measuring(pytestconfig: pytest.Config) -> Iterator[None]:
    """Holds the measuring lock, with all accelerators prepared.

    XLA's runtime must be up before anything else is computed in this process.
    """
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
    """The modes on one accelerator; skips with the reason if it is unavailable."""
    accelerator = accelerators.find(request.param)
    if not accelerator.available:
        pytest.skip(f"{accelerator.label} is unavailable: {accelerator.reason}")
    with ExitStack() as stack:
        with one_line():
            timer = stack.enter_context(ModeTimer(accelerator.name, parameters))
        yield timer


@contextmanager
def one_line() -> Iterator[None]:
    """A UserError within the context ends the session with its message and no traceback."""
    try:
        with explain_system_errors(), explain_loader_errors():
            yield
    except UserError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


@pytest.fixture
def facts(mode_timer: ModeTimer, parameters: Parameters) -> dict[str, Any]:
    """What is saved next to the times: the workload and the environment."""
    accelerator = accelerators.find(mode_timer.accelerator)
    return {
        "accelerator": accelerator.label,
        "device": accelerator.device,
        "workload": workload(
            parameters,
            code.digest(code.STAGES["throughput"]),
            weights.fingerprint(parameters.model),
        ).model_dump(mode="json"),
        "environment": environment.fingerprint(accelerator).model_dump(
            mode="json", exclude_none=True
        ),
    }


def images_per_second(seconds: list[float], images: int) -> tuple[float, float, float]:
    """Quartiles of the rate over rounds."""
    low, middle, high = quantiles([images / block for block in seconds], n=4, method="inclusive")
    return low, middle, high

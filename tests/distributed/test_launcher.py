"""PyTorch's launcher with stand-in ranks; tests/training/test_ranks.py has real trainings."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import psutil
import pytest

from benchmark.common.parameters import ONE_DEVICE
from benchmark.distributed import launcher
from benchmark.errors.user_error import UserError
from benchmark.machine import variables
from benchmark.machine.processors import processor_count

TWO = ONE_DEVICE.model_copy(update={"devices": 2})
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, forked_processes: None) -> Iterator[None]:
    """Launch stand-in ranks; afterwards check that no process is left and restore the handlers
    of signals, which the launcher sets."""
    monkeypatch.setattr(launcher, "MODULE", "tests.distributed.stand_in_rank")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    before = {number: signal.getsignal(number) for number in SIGNALS}
    children = psutil.Process().children()
    yield
    assert [child for child in psutil.Process().children() if child not in children] == []
    for number, handler in before.items():
        signal.signal(number, handler)
    os.environ.pop("OMP_NUM_THREADS", None)


def test_each_device_gets_a_process_and_its_part_of_the_processors(tmp_path: Path) -> None:
    launcher.launch(["end", str(tmp_path)], TWO)
    threads = str(max(1, processor_count() // 2))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        "01", threads
    )


@pytest.mark.slow
def test_the_error_of_a_failed_rank_is_reported(tmp_path: Path) -> None:
    """The other rank only loses its connection."""
    with pytest.raises(UserError, match=r"^Rank 1: This is wrong\. Fix it\.$"):
        launcher.launch(["fail", str(tmp_path)], TWO)


def test_a_rank_that_is_killed_ends_the_others_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^Rank 1: ended by SIGKILL\."):
        launcher.launch(["die", str(tmp_path)], TWO)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def interrupt() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    Thread(target=interrupt).start()
    with pytest.raises(SystemExit) as ended:
        launcher.launch(["wait", str(tmp_path)], TWO)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == f"Ended by {number.name}.\n"


def test_other_machines_need_a_launcher_each() -> None:
    nodes = TWO.model_copy(update={"num_nodes": 3})
    with pytest.raises(UserError, match=r"/torchrun --nnodes 3 --nproc-per-node 2 .* -m "):
        launcher.launch(["train", "cpu"], nodes)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({}, False),
        ({"TORCHELASTIC_RUN_ID": "1"}, True),
        ({"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}, True),
        ({"SLURM_NTASKS": "2"}, False),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_ID": "0"}, False),
    ],
    ids=["alone", "torchrun", "srun", "a batch script", "srun of one"],
)
def test_a_rank_knows_that_it_is_one(
    monkeypatch: pytest.MonkeyPatch, job: dict[str, str], expected: bool
) -> None:
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert variables.is_launched() == expected

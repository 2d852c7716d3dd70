"""What a command must not load: each of these packages takes a tenth of a second to seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPOSITORY

TRAINERS = ("torch", "pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision")
UNUSED = ("dvc", "jsonargparse", "matplotlib", "pandas", "scipy.stats", "transformers")
"""Packages that no command needs before it has printed its first line."""
SLIM = "from benchmark.common import slim_torchmetrics; slim_torchmetrics.install()"


def loaded(program: str, directory: Path) -> set[str]:
    """Run a program in a new process; return the names of the modules that it has loaded."""
    program = f"import sys\n{program}\nprint('loaded:', *sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=directory, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.partition("loaded:")[2].split())


@pytest.mark.parametrize(
    "command", [["--help"], ["code"], ["clean"], ["check", "data"], ["compare", ".", "."]]
)
def test_what_needs_no_torch_does_not_load_it(workspace: Path, command: list[str]) -> None:
    """So help, an error or a comparison takes a fraction of a second."""
    program = f"""
from benchmark.command_line import main
try:
    main({command})
except SystemExit:
    pass
"""
    assert loaded(program, workspace) & {*TRAINERS, *UNUSED} == set()


@pytest.mark.parametrize(
    ("module", "packages"),
    [
        ("pipeline.dataset", TRAINERS),
        ("pipeline.code", (*TRAINERS, "numpy")),
        ("pipeline.environment", (*TRAINERS[1:], "torch._dynamo", "scipy")),
        ("pipeline.train", ("scipy",)),
        ("pipeline.replay", ("scipy",)),
        ("pipeline.throughput", ()),
        ("throughput.measuring_process", ()),
        ("interleave.side_process", ()),
    ],
)
def test_a_stage_loads_no_package_that_it_does_not_need(
    tmp_path: Path, module: str, packages: tuple[str, ...]
) -> None:
    """Lightning loads torchmetrics, and that all packages that any of its metrics may need."""
    program = f"{SLIM}\nimport benchmark.{module}"
    assert loaded(program, tmp_path) & {*packages, *UNUSED} == set()


def test_the_accuracy_is_torchmetrics(tmp_path: Path) -> None:
    """The packages that it was loaded without can still be imported afterwards."""
    modules = loaded(
        f"{SLIM}\nimport torchmetrics, scipy.stats, matplotlib\n"
        "from torchmetrics.classification import MulticlassAccuracy",
        tmp_path,
    )
    assert {"torchmetrics.classification.accuracy", "matplotlib"} <= modules


@pytest.mark.parametrize("process", ["benchmark", "benchmark.throughput", "side_process"])
def test_the_suites_own_processes_are_slim(tmp_path: Path, process: str) -> None:
    """runpy runs what `python -m` runs. Without arguments or input, each ends at once."""
    script = REPOSITORY / "benchmark/interleave/side_process.py"
    module = f"run_module({process!r}, run_name='__main__', alter_sys=True)"
    run = f"run_path({str(script)!r}, run_name='__main__')" if process[0] == "s" else module
    program = f"import runpy\ntry:\n    runpy.{run}\nexcept SystemExit:\n    pass"
    finders = "print(*(type(finder).__module__ for finder in sys.meta_path), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\n{finders}"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path, text=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "slim_torchmetrics" in done.stderr


def test_a_program_that_imports_the_suite_gets_all_of_torchmetrics(tmp_path: Path) -> None:
    assert "scipy" in loaded("import benchmark.training.model", tmp_path)

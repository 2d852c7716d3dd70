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
    assert loaded(f"import benchmark.{module}", tmp_path) & {*packages, *UNUSED} == set()


def test_the_accuracy_is_torchmetrics(tmp_path: Path) -> None:
    """The packages that it was loaded without can still be imported afterwards."""
    modules = loaded(
        "import benchmark, torchmetrics, scipy.stats, matplotlib\n"
        "from torchmetrics.classification import MulticlassAccuracy",
        tmp_path,
    )
    assert {"torchmetrics.classification.accuracy", "matplotlib"} <= modules

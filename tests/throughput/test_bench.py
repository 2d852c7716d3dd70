"""`make bench`, with a small network: what pytest-benchmark saves, compares and refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, make_workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path: Path, raw_parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs tests/throughput/bench with options, in a workspace with a CPU and without a GPU."""
    raw_parameters["accelerators"] = ["cpu", "tpu"]
    raw_parameters["throughput"]["modes"] = ["compute", "trainer"]
    root = make_workspace(tmp_path / "workspace", raw_parameters, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-p", "tests.small", "-rs", *options]
        place = ["--rootdir", str(REPOSITORY), "-c", str(REPOSITORY / "pyproject.toml")]
        tests = str(REPOSITORY / "tests/throughput/bench")
        store = f"--benchmark-storage=file://{root}/saved"
        return subprocess.run(
            [*command, *place, store, tests], cwd=root, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip

    return run


def test_figures_are_saved_with_what_they_are_of(bench) -> None:
    done = bench("--benchmark-json=saved.json")
    assert done.returncode == 0, done.stdout
    assert "tpu is unavailable: " in done.stdout
    assert "2 passed, 2 skipped" in done.stdout
    saved = json.loads(Path("saved.json").read_text())
    assert "node" not in saved["machine_info"]
    found = {case["extra_info"]["mode"]: case for case in saved["benchmarks"]}
    assert found.keys() == {"compute", "trainer"}
    for case in found.values():
        facts = case["extra_info"]
        assert facts["accelerator"] == "cpu"
        assert facts["workload"]["batch_size"] == 4
        assert facts["environment"]["packages"]["torch"]
        rate = 4 * facts["steps"] / case["stats"]["median"]
        assert facts["images_per_second"]["median"] == pytest.approx(rate, rel=0.1)
    page = Path("reports/benchmark.md").read_text()
    assert "| cpu |" in page
    assert "| trainer |" in page


def test_a_slower_run_fails_the_comparison(bench) -> None:
    """The saved run is made ten times faster than it was."""
    assert bench("--benchmark-save=before").returncode == 0
    (path,) = Path("saved").rglob("*_before.json")
    saved = json.loads(path.read_text())
    for case in saved["benchmarks"]:
        for name in ("min", "max", "mean", "median", "q1", "q3"):
            case["stats"][name] /= 10
    path.write_text(json.dumps(saved))
    compared = bench("--benchmark-compare", "--benchmark-compare-fail=median:100%")
    assert compared.returncode != 0
    assert "Performance has regressed" in compared.stdout + compared.stderr


def test_it_is_left_out_of_the_correctness_run() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests", "-k", "test_throughput"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert "tests/throughput/test_throughput.py" in listed.stdout
    assert "tests/throughput/bench/" not in listed.stdout

"""`make bench`, with a small network: what pytest-benchmark saves, compares and refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import REPOSITORY
from tests.conftest import make_workspace, small_content

pytestmark = pytest.mark.slow
TESTS = REPOSITORY / "tests/throughput"


def run_pytest(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with the repository's settings and `root` as the directory."""
    place = ["--rootdir", str(REPOSITORY), "-c", str(REPOSITORY / "pyproject.toml")]
    # A pytest of its own, also where this one is one of several: pytest-benchmark asks xdist.
    outer = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *place, *arguments],
        cwd=root, capture_output=True, text=True,
        env=outer | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """A workspace in which figures were saved."""

    root: Path
    output: str
    """Of the run that saved them."""

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """The cases of tests/throughput/bench with the small network."""
        store = f"--benchmark-storage=file://{self.root}/saved"
        cases = str(TESTS / "bench")
        return run_pytest(self.root, "-p", "tests.small", "-rs", store, *options, cases)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """With a CPU and without a TPU: one run's figures, saved as JSON and to compare with."""
    content = small_content()
    content["accelerators"] = ["cpu", "tpu"]
    content["throughput"]["modes"] = ["compute", "trainer"]
    with pytest.MonkeyPatch.context() as patch:
        root = make_workspace(tmp_path_factory.mktemp("bench") / "workspace", content, patch)
        done = Bench(root, "").run("--benchmark-json=saved.json", "--benchmark-save=before")
        assert done.returncode == 0, done.stdout
        yield Bench(root, done.stdout)


def test_figures_are_saved_with_what_they_are_of(bench: Bench) -> None:
    assert "tpu is unavailable: " in bench.output
    assert "2 passed, 2 skipped" in bench.output
    saved = json.loads((bench.root / "saved.json").read_text())
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
    page = (bench.root / "reports/benchmark.md").read_text()
    assert "| cpu |" in page
    assert "| trainer |" in page


def test_a_slower_run_fails_the_comparison(bench: Bench) -> None:
    """The saved run is made ten times faster than it was."""
    (path,) = (bench.root / "saved").rglob("*_before.json")
    saved = json.loads(path.read_text())
    for case in saved["benchmarks"]:
        for name in ("min", "max", "mean", "median", "q1", "q3"):
            case["stats"][name] /= 10
    path.write_text(json.dumps(saved))
    compared = bench.run("--benchmark-compare", "--benchmark-compare-fail=median:100%")
    assert compared.returncode != 0
    assert "Performance has regressed" in compared.stdout + compared.stderr


def test_it_is_left_out_of_the_correctness_run() -> None:
    listed = run_pytest(REPOSITORY, "--collect-only", "-q", str(TESTS), "-k", "test_throughput")
    assert "tests/throughput/test_throughput.py" in listed.stdout
    assert "tests/throughput/bench/" not in listed.stdout

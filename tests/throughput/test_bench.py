"""`make bench`, with a small network: what pytest-benchmark saves, compares and refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.machine.processors import within_quota
from tests import REPOSITORY
from tests.support.fixtures import make_workspace, small_content
from tests.support.forked_python import python

pytestmark = pytest.mark.slow
TESTS = REPOSITORY / "tests/throughput"
ON_TWO_THREADS = """
import sys, pytest, torch

torch.set_num_threads(2)
sys.exit(pytest.main(sys.argv[1:]))
"""


def run_pytest(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with the repository's settings and `root` as the directory."""
    place = ["--rootdir", str(REPOSITORY), "-c", str(REPOSITORY / "pyproject.toml")]
    # A pytest of its own, also where this one is one of several: pytest-benchmark asks xdist.
    outer = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [python(), "-c", ON_TWO_THREADS, *place, *arguments],
        cwd=root, capture_output=True, text=True,
        env=outer | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """A workspace in which figures were saved."""

    root: Path
    output: str
    """Output of the run that saved the figures."""

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """The cases of tests/throughput/bench with the small network."""
        store = f"--benchmark-storage=file://{self.root}/saved"
        cases = str(TESTS / "bench")
        return run_pytest(self.root, "-p", "tests.support.small", "-rs", store, *options, cases)


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
    cases = {case["extra_info"]["mode"]: case for case in saved["benchmarks"]}
    assert cases.keys() == {"compute", "trainer"}
    for case in cases.values():
        facts = case["extra_info"]
        assert facts["accelerator"] == "cpu"
        assert facts["workload"]["batch_size"] == 4
        assert facts["environment"]["packages"]["torch"]
        assert facts["environment"]["threads"] == within_quota(2)  # what this process has set
        rate = 4 * facts["steps"] / case["stats"]["median"]
        assert facts["images_per_second"]["median"] == pytest.approx(rate, rel=0.1)
    page = (bench.root / "reports/benchmark.md").read_text()
    assert "| cpu |" in page
    assert "| trainer |" in page


def test_a_part_of_the_cases_does_not_replace_the_table(bench: Bench) -> None:
    path = bench.root / "reports/benchmark.md"
    before = path.read_text()
    done = bench.run("-k", "compute")
    assert "benchmark.md stays as it is: 1 of 2 were measured." in done.stdout
    assert path.read_text() == before


@pytest.fixture(scope="module")
def disturbed(bench: Bench) -> subprocess.CompletedProcess[str]:
    """A run next to other work, compared with a saved run that is made ten times faster than it
    was."""
    (path,) = (bench.root / "saved").rglob("*_before.json")
    saved = json.loads(path.read_text())
    for case in saved["benchmarks"]:
        for name in ("min", "max", "mean", "median", "q1", "q3"):
            case["stats"][name] /= 10
    path.write_text(json.dumps(saved))
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as burner:
        try:
            return bench.run("--benchmark-compare", "--benchmark-compare-fail=median:100%")
        finally:
            burner.kill()


def test_other_work_is_warned_of_and_noted(
    bench: Bench, disturbed: subprocess.CompletedProcess[str]
) -> None:
    """Where people look: pytest keeps what tests print, unless they fail."""
    assert "warning: other work takes " in disturbed.stdout + disturbed.stderr
    assert "**Other work took " in (bench.root / "reports/benchmark.md").read_text()


def test_a_slower_run_fails_the_comparison(disturbed: subprocess.CompletedProcess[str]) -> None:
    assert disturbed.returncode != 0
    assert "Performance has regressed" in disturbed.stdout + disturbed.stderr


NOTHING_TO_SAVE_OR_COMPARE = (
    "--benchmark-autosave", "--benchmark-json=nothing.json", "--benchmark-histogram",
    "--benchmark-compare=nothing", "--benchmark-compare-fail=median:10%",
)  # fmt: skip


def test_where_nothing_is_measured_the_reason_is_read(bench: Bench) -> None:
    """Warnings are errors in the tests; pytest-benchmark warns while pytest starts and ends."""
    done = bench.run(*NOTHING_TO_SAVE_OR_COMPARE, "-k", "tpu")
    assert "tpu is unavailable: " in done.stdout
    assert "2 skipped" in done.stdout
    assert done.returncode == 0, done.stderr


def test_without_images_one_line_says_so(bench: Bench, tmp_path: Path) -> None:
    for path in bench.root.iterdir():
        if path.name != "data":
            (tmp_path / path.name).symlink_to(path)
    done = Bench(tmp_path, "").run("--benchmark-autosave")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert (done.stdout + done.stderr).count("data/train: missing folder. A dataset needs") == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_benchmark_only_names_the_folder_of_the_measurements() -> None:
    done = run_pytest(REPOSITORY, "--benchmark-only", str(TESTS))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Name their folder: pytest tests/throughput/bench --benchmark-only" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_it_is_left_out_of_the_correctness_run() -> None:
    listed = run_pytest(REPOSITORY, "--collect-only", "-q", str(TESTS))
    assert "tests/throughput/test_sweep.py" in listed.stdout
    assert "tests/throughput/bench/" not in listed.stdout

"""Every command that the documentation names works from a shell that knows nothing of .venv."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPOSITORY

DOCUMENTS = [
    REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "provenance/README.md")
] + sorted((REPOSITORY / "docs").glob("*.md"))
PROGRAMS = ("make", "dvc", "python", "pytest", "pip", "uv", "rm", "bash", ".venv/bin/")
PIPELINE = "the pipeline, minutes long: test_repro.py runs it with stand-ins for its stages"
LONG = "takes many minutes"
CHROMIUM = "needs Chromium; test_readme.py looks at what it drew"
INDEX = "needs the package index"
STRANGERS = "in the environment of another project: tests/conformance/test_elsewhere.py"

RUN = {
    ".venv/bin/dvc exp show --only-changed": (0,),
    ".venv/bin/dvc remote add --default --local mine DIRECTORY": (0,),
    ".venv/bin/python -m benchmark export": (0,),
    ".venv/bin/python -m benchmark compare main . --max-regression 5%": (0,),
    ".venv/bin/python -m benchmark.command_line": (0,),
    ".venv/bin/python -m benchmark.report.json_schema": (0,),
    ".venv/bin/python -m benchmark.report.readme": (0,),
    ".venv/bin/dvc metrics diff": (0,),
    ".venv/bin/python -m lightning_conformance": (0,),
}
"""Exit statuses of those that run here."""

ELSEWHERE = {
    "make repro": PIPELINE,
    "make test": "this is a part of it",
    ".venv/bin/python -m benchmark COMMAND": "the form of every command",
    "make lint": "CI runs it",
    "make setup": "CI and every other target run it; it would renew the environment that runs this",
    "make bench": "minutes long: tests/throughput/test_bench.py runs its cases on a small network",
    "make lock": INDEX,
    "make peers": INDEX,
    "make soak": LONG,
    ".venv/bin/python -m tests.soak.kills": LONG,
    ".venv/bin/python -m tests.soak.restarts": LONG,
    "bash .ci/run": "runs these tests",
    "make experiment S='train.precision=bf16-mixed'": PIPELINE,
    "make experiment S='seeds=[8,9]'": PIPELINE,
    "make experiment S='seeds=[8,9] train.precision=bf16-mixed'": PIPELINE,
    "make experiment S='model.weights=IMAGENET1K_V2 data.image_size=224 data.num_workers=4 "
    "train.max_epochs=30 train.patience=5 controls=[]'": PIPELINE,
    "make experiment S='model.architecture=efficientnet_b0 model.weights=DEFAULT "
    "data.image_size=224'": "downloads weights",
    "make .venv/peers": INDEX,
    "make experiment S='model.architecture=timm:convnext_atto model.weights=random'": INDEX,
    "rm -rf data data.dvc && cp -r IMAGES data": "no command of this suite",
    ".venv/bin/dvc add data && make repro": PIPELINE,
    ".venv/bin/dvc add data": "test_pins.py's datasets are added by it",
    ".venv/bin/dvc add weights": "test_pins.py's weights are added by it",
    ".venv/bin/python -m benchmark compare HEAD .": "as with main, which is run",
    ".venv/bin/python -m tests.report.golden": "tests/report/test_golden.py writes the same",
    ".venv/bin/python -m benchmark check IMAGES": "tests/audit/test_check.py",
    ".venv/bin/python -m benchmark clean": "tests/data/test_cache.py",
    ".venv/bin/dvc push": "test_pins.py: it needs a remote",
    "dvc pull": "the line says what to run instead",
    ".venv/bin/python -m benchmark dataset": "a part of the pipeline, and of `make bench`",
    ".venv/bin/dvc repro train@cpu-own": PIPELINE,
    ".venv/bin/dvc repro --force throughput@cpu": PIPELINE,
    "make test TESTS=tests/data": "this is how these tests run",
    "make test LOCK=newest": "bash .ci/run runs a part of it",
    ".venv/bin/python -m pytest --hypothesis-profile=soak -m fuzz": LONG,
    ".venv/bin/python -m pytest tests/throughput/bench --benchmark-autosave": "as `make bench`",
    ".venv/bin/python -m benchmark duel HEAD --max-regression 3%": LONG,
    ".venv/bin/python -m tests.mutants": LONG,
    ".venv/bin/python -m tests.mutants NAME": "tests/test_mutants.py",
    ".venv/bin/python -m tests.throughput.noise": LONG,
    ".venv/bin/python -m tests.training.memory [SIZE] [STEPS]": LONG,
    ".venv/bin/python -m tests.first_run.photographs FOLDER 300": "tests/test_first_run.py",
    ".venv/bin/python -m tests.first_run.fidelity FOLDER": "tests/test_first_run.py",
    ".venv/bin/python -m tests.report.picture": CHROMIUM,
    ".venv/bin/python -m tests.interval_simulation": "tests/test_interval_simulation.py runs it",
    ".venv/bin/python -m provenance images DIRECTORY --seed 0": "tests/provenance",
    ".venv/bin/python -m provenance weights cpu": LONG,
    "pytest --pyargs lightning_conformance --datamodule my.data:MyData "
    "--module my.model:MyModel": STRANGERS,
    ".venv/bin/python -m tests.conformance.peers": "needs the peers",
    "pip install ./conformance": INDEX,
    "uv pip install --python .venv libtpu==0.0.21": INDEX,
    ".venv/bin/dvc repro replay@gpu-own": PIPELINE,
    ".venv/bin/dvc exp run --queue -S seed=8": "its worker outlives the test",
    ".venv/bin/dvc queue start": "its worker outlives the test",
    ".venv/bin/python -m benchmark environment gpu": "a part of the pipeline",
    ".venv/bin/torchrun --nnodes 2 --nproc-per-node 8 --node-rank NUMBER --master-addr "
    "FIRST_MACHINE -m benchmark train gpu": "needs two machines: tests/training/test_ranks.py",
    "dvc exp run -S ...": "what a target of the Makefile does, in words",
}
"""Where the others run, or why they do not."""


def commands(text: str) -> set[str]:
    """What is indented as a block, and what stands in backticks, if it begins with a program."""
    blocks = re.findall(r"(?:^    \S.*\n(?:^ {6,}\S.*\n)*)", text, re.MULTILINE)
    spans = re.findall(r"(?<!`)`([^`\n]+)`", text)
    lines = [" ".join(block.replace("\\\n", " ").split()) for block in blocks]
    return {line for line in (*lines, *spans) if line.startswith(starts(PROGRAMS))}


def starts(programs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name if name.endswith("/") else f"{name} " for name in programs)


def test_each_documented_command_is_run_or_has_its_reason() -> None:
    documented = set().union(*(commands(path.read_text()) for path in DOCUMENTS))
    assert documented == RUN.keys() | ELSEWHERE.keys()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the last commit with the environment that runs this."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git repository: nothing can be cloned")
    root = tmp_path_factory.mktemp("clone") / "a clone"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, root], check=True)
    subprocess.run(["git", "-C", root, "switch", "--quiet", "-C", "main"], check=True)
    (root / ".venv").symlink_to(sys.prefix)
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("command", "statuses"), RUN.items(), ids=RUN)
def test_a_documented_command_works_from_a_bare_shell(
    clone: Path, command: str, statuses: tuple[int, ...]
) -> None:
    # DVC asks for the user's name, which a number without a name must be given (Makefile).
    shell = {"PATH": "/usr/bin:/bin", "HOME": str(clone.parent), "USER": "somebody"}
    done = subprocess.run(
        shlex.split(command), cwd=clone, env=shell, capture_output=True, text=True
    )
    if "Run the stages before this one" in done.stderr:
        pytest.skip(f"the stages have not run as params.yaml says: {done.stderr}")
    assert done.returncode in statuses, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("given", [{}, {"USER": "somebody"}])
def test_a_user_without_a_name_is_named_by_number(given: dict[str, str]) -> None:
    """DVC ends with `uid not found` otherwise (`docker run --user`)."""
    command = ["make", "--silent", "--eval=show: ; @echo $$USER", "show"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={"PATH": "/usr/bin:/bin"} | given, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == given.get("USER", str(os.getuid()))


def test_a_checkout_has_the_same_bytes_on_every_system() -> None:
    """git may be set to check out text with CRLF, and every file that DVC pins would differ."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git repository")
    names = ["params.yaml", "dvc.lock", "reports/train/cpu/own.json", ".dvc/remote/x"]
    command = ["git", "-C", REPOSITORY, "check-attr", "text", "eol", "--", *names]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    attributes = dict(line.rsplit(": ", 1) for line in output.splitlines())
    for name in names[:3]:
        assert (attributes[f"{name}: text"], attributes[f"{name}: eol"]) == ("auto", "lf")
    assert attributes[".dvc/remote/x: text"] == "unset"


def test_make_forgets_the_repository_of_a_hook() -> None:
    command = ["make", "--silent", "--eval=show: ; @echo [$$GIT_DIR$$GIT_INDEX_FILE]", "show"]
    environment = {"PATH": "/usr/bin:/bin", "GIT_DIR": "x", "GIT_INDEX_FILE": "y"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

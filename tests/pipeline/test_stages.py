"""The stages that dvc.yaml declares, and the files that DVC writes."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml

from benchmark.common import code
from benchmark.common.parameters import load_parameters
from tests import PARAMETERS, REPOSITORY
from tests.support.repository import set_parameters

PIPELINE: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_a_stage_depends_on_its_code_by_one_digest(stage: str) -> None:
    """Stages that always run need none."""
    declared = PIPELINE["stages"][stage]
    digests = [d for d in declared.get("deps", []) if "benchmark" in d or "code" in d]
    kind = {"seeds": "train", "replay_seeds": "replay", "replay_control": "replay"}.get(
        stage, stage
    )
    expected = [] if declared.get("always_changed") else [f"reports/code/{kind}.json"]
    assert digests == expected


def test_the_code_stage_writes_what_stages_depend_on() -> None:
    outs = [next(iter(out)) for out in PIPELINE["stages"]["code"]["outs"]]
    assert outs == [f"reports/code/{stage}.json" for stage in code.STAGES]


def test_declared_parameters_exist() -> None:
    content = load_parameters(PARAMETERS).model_dump()
    for stage in PIPELINE["stages"].values():
        for name in stage.get("params", []):
            value = content
            for part in name.split("."):
                value = value[part]


def test_each_accelerator_seed_and_control_has_its_stages(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    expected = {
        "dataset", "code", "report", "environment",
        "throughput@cpu", "throughput@gpu", "train@cpu-own", "train@gpu-own", "replay@cpu-own",
        "replay@gpu-own",
    }  # fmt: skip
    for seeds, controls, more in (
        ([], [], set()),
        ([8], ["gpu"], {
            "seeds@cpu-8", "seeds@gpu-8", "replay_seeds@cpu-8", "replay_seeds@gpu-8",
            "control@gpu-control", "replay_control@gpu-control",
        }),
    ):  # fmt: skip
        set_parameters(repository, accelerators=["cpu", "gpu"], seeds=seeds, controls=controls)
        with Repo() as opened:
            names = {stage.addressing for stage in opened.index.stages}
        assert names == expected | more | {"data.dvc", "weights.dvc"}


@pytest.mark.parametrize("path", [PARAMETERS, REPOSITORY / "data.dvc", REPOSITORY / "weights.dvc"])
def test_dvc_writes_a_file_as_it_is(path: Path, tmp_path: Path) -> None:
    """Otherwise an experiment, even one that fails, would change lines that the user did not."""
    if not path.is_file():
        pytest.skip(f"{path.name} does not exist: nothing is pinned")
    copy = Path(shutil.copy(path, tmp_path))
    if path == PARAMETERS:
        apply_overrides(copy, ["seed=7"])
    else:
        with modify_yaml(str(copy)):
            pass
    assert copy.read_text() == path.read_text()


def test_nothing_in_the_repository_names_a_machine_or_an_index() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    words = re.compile(
        "|".join(("pypi" + r"\.org", "/" + "root/", "/" + "home/", "index" + "-url "))
    )
    for name in filter(None, listing.stdout.split("\0")):
        path = REPOSITORY / name
        if not name.startswith(".dvc/remote") and path.is_file():
            assert not words.search(path.read_text(encoding="utf-8", errors="replace")), name

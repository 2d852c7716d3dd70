"""The stage that digests the code of the others."""

import re
from pathlib import Path

import pytest

from benchmark.common.code import STAGES
from benchmark.common.code import digest as digest_of
from benchmark.common.files import read_json
from benchmark.common.results import REPORTS
from benchmark.pipeline import code


def test_the_stage_writes_a_digest_and_the_modules_for_each(
    change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code.run(change())
    written = {path.stem: read_json(path) for path in (REPORTS / "code").iterdir()}
    assert written.keys() == STAGES.keys()
    for stage, module in STAGES.items():
        assert re.fullmatch("[0-9a-f]{64}", written[stage]["digest"])
        assert written[stage]["digest"] == digest_of(module, texts=stage == "report")
        assert module in written[stage]["modules"]

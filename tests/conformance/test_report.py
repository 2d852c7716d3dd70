"""What is said of all rules together: the summary and the report."""

import json
import re
from pathlib import Path

import pytest
import yaml

from datamodule_conformance.report import counted, summary, write
from datamodule_conformance.rules import rules
from datamodule_conformance.verdicts import Outcome, Verdict
from tests import REPOSITORY
from tests.conformance.test_conformance import KIT, judge

NAME = "mine:Data()"
HOLDS, *OTHERS = sorted((rule.name for rule in rules()), key=len)[:5]
VERDICTS = [
    Verdict(HOLDS, Outcome.HOLDS),
    Verdict(
        OTHERS[0], Outcome.BROKEN, "a | b\n<c> " + "and so on " * 20, "It matters.", "Mend it."
    ),
    Verdict(OTHERS[1], Outcome.ACKNOWLEDGED, "d", "It does.", "Mend it.", reason="It is meant."),
    Verdict(OTHERS[2], Outcome.NOT_JUDGED, reason="a plain fit fails"),
    Verdict(OTHERS[3], Outcome.NOT_JUDGED, reason="a plain fit fails"),
]
REASONS = {verdict.reason for verdict in VERDICTS}


def test_the_summary_names_each_rule_that_does_not_hold_once() -> None:
    lines = summary(NAME, VERDICTS, 80).splitlines()
    assert lines[0] == "mine:Data(): 1 rules hold, 1 broken, 2 not judged, 1 acknowledged"
    assert lines[1].startswith(f"  broken        {OTHERS[0]}: a | b <c> and so on")
    assert lines[2] == f"  acknowledged  {OTHERS[1]}: It is meant."
    assert lines[3].startswith(f"  not judged    a plain fit fails: {OTHERS[2]};")
    assert " ".join(lines[3:]).endswith(OTHERS[3])
    assert len(lines) <= 5
    assert max(map(len, lines)) <= 80


def test_the_summary_fits_on_a_screen_whatever_breaks() -> None:
    everything = [Verdict(rule.name, Outcome.BROKEN, "long " * 99) for rule in rules()]
    assert len(summary(NAME, everything, 80).splitlines()) == 1 + len(rules())
    nothing = [Verdict(rule.name, Outcome.NOT_JUDGED, reason="no fit") for rule in rules()]
    assert len(summary(NAME, nothing, 80).splitlines()) < 24


def test_the_report_as_json_has_every_rule(tmp_path: Path) -> None:
    write(tmp_path / "out.json", NAME, VERDICTS)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["datamodule"] == NAME
    assert [rule["rule"] for rule in content["rules"]] == [rule.name for rule in rules()]
    found = {rule["rule"]: rule for rule in content["rules"]}
    assert found[OTHERS[0]] == {
        "rule": OTHERS[0], "outcome": "broken", "seen": VERDICTS[1].seen, "why": "It matters.",
        "fix": "Mend it.", "reason": "",
    }  # fmt: skip
    (left_out,) = {rule["reason"] for rule in content["rules"][-20:]} - {"", *REASONS}
    assert left_out == "left out of this run"
    assert content["counts"] == {
        "holds": 1, "broken": 1, "not judged": len(rules()) - 3, "acknowledged": 1
    }  # fmt: skip


def test_the_report_as_markdown_has_every_rule_with_the_broken_first(tmp_path: Path) -> None:
    write(tmp_path / "out.md", NAME, VERDICTS)
    lines = (tmp_path / "out.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert len(rows) == len(rules())
    assert rows[0].startswith(f"| {OTHERS[0]} | **broken** | a \\| b &lt;c&gt; and so on")
    assert rows[0].endswith("<br>*Why* It matters.<br>*Fix* Mend it. |")
    assert rows[1] == f"| {OTHERS[1]} | acknowledged | It is meant.<br>*Seen* d |"
    assert f"| {OTHERS[2]} | not judged | a plain fit fails |" in rows[2:-1]
    assert rows[-1] == f"| {HOLDS} | holds |  |"


def test_counts_name_what_there_is_of_each() -> None:
    assert counted(VERDICTS[:1]) == "1 rules hold, 0 broken, 0 not judged"


def test_what_a_project_acknowledges_passes_and_what_is_gone_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rules by name: one known, one that holds, one that does not apply; -rs says which."""
    path = "tests.conformance.datamodules.broken:RawPixels"
    (tmp_path / "conformance.toml").write_text(
        f'["{path}"]\n"images are finite and scaled" = "For a model of ours."\n'
        '"labels count from zero" = "No longer so."\n'
    )
    monkeypatch.chdir(tmp_path)
    options = [
        "-k",
        "images_are or labels_count or alone_calls",
        "--conformance-report",
        "out.json",
    ]
    verdicts = judge(path, "--datamodule-arg", f"folder={tmp_path}", *options, "-rs")
    assert verdicts.outcomes["failed"] == {"labels_count_from_zero"}
    assert verdicts.outcomes["skipped"] == {"images_are_finite_and_scaled"}
    content = json.loads((tmp_path / "out.json").read_text())
    outcomes = {rule["rule"]: rule["outcome"] for rule in content["rules"]}
    assert outcomes["images are finite and scaled"] == "acknowledged"
    assert outcomes["lightning alone calls the hooks"] == "holds"
    printed = capsys.readouterr().out
    assert "1 rules hold, 1 broken, 0 not judged, 1 acknowledged" in printed
    assert "seen  it holds, and conformance.toml acknowledges" in printed


def test_rs_names_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-k", "validation_changes_nothing or evaluation_repeats", "-rs"]
    path = "tests.conformance.datamodules.broken:SetupWithoutStage"
    judge(path, "--datamodule-arg", f"folder={tmp_path}", *options)
    printed = capsys.readouterr().out
    for name in ("validation_changes_nothing", "evaluation_repeats"):
        assert re.search(f"SKIPPED .*::test_{name} - .*a plain fit fails", printed)


@pytest.mark.parametrize(
    ("path", "words"),
    [("out.xml", "out.xml: name it .json or .md."), ("no/out.md", "no/out.md: there is no no.")],
)
def test_a_report_that_can_not_be_written_is_refused_at_once(
    path: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--datamodule", "nowhere:Data", "--conformance-report", path]
    assert pytest.main([*KIT, *options]) == pytest.ExitCode.USAGE_ERROR
    assert words in capsys.readouterr().err


def test_the_workflow_is_yaml_and_each_option_exists(pytestconfig: pytest.Config) -> None:
    text = (REPOSITORY / "docs/conformance.md").read_text()
    (workflow,) = re.findall(r"(?m)^    name: conformance\n(?:    .*\n)+", text)
    assert yaml.safe_load(workflow)["jobs"]["datamodule"]["steps"]
    for name in set(re.findall(r"--((?:datamodule|conformance)[\w-]*)", text)):
        pytestconfig.getoption(name.replace("-", "_"))

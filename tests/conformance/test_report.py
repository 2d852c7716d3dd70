"""The summary and the report of all results."""

import importlib
import json
import re
from pathlib import Path

import pytest
import yaml

from lightning_conformance.report import NOTHING_JUDGED, describe_counts, summary, write
from lightning_conformance.results import Outcome, RuleResult
from lightning_conformance.rules import rules
from tests import REPOSITORY
from tests.conformance.judging import DATAMODULES, KIT, PACKAGE

NAME = "mine:Data()"
NAMES = sorted((rule.name for rule in rules()), key=len)[:5]
RESULTS = [
    RuleResult(NAMES[0], Outcome.HOLDS),
    RuleResult(
        NAMES[1], Outcome.BROKEN, "a | b\n<c> " + "and so on " * 20, "It matters.", "Fix it."
    ),
    RuleResult(
        NAMES[2], Outcome.ACKNOWLEDGED, "d", "It does.", "Fix it.", reason="It is intended."
    ),
    RuleResult(NAMES[3], Outcome.NOT_JUDGED, reason="a plain fit fails"),
    RuleResult(NAMES[4], Outcome.NOT_JUDGED, reason="a plain fit fails"),
]
REASONS = {result.reason for result in RESULTS}


def test_the_summary_names_each_rule_that_does_not_hold_once() -> None:
    lines = summary(NAME, RESULTS, 80).splitlines()
    assert lines[0] == "mine:Data(): 1 rules hold, 1 broken, 2 not judged, 1 acknowledged"
    assert lines[1].startswith(f"  broken        {NAMES[1]}: a | b <c> and so on")
    assert lines[2] == f"  acknowledged  {NAMES[2]}: It is intended."
    assert lines[3].startswith(f"  not judged    a plain fit fails: {NAMES[3]};")
    assert " ".join(lines[3:]).endswith(NAMES[4])
    assert len(lines) <= 5
    assert max(map(len, lines)) <= 80


def test_the_summary_fits_on_a_screen_whatever_breaks() -> None:
    everything = [RuleResult(rule.name, Outcome.BROKEN, "long " * 99) for rule in rules()]
    assert len(summary(NAME, everything, 80).splitlines()) == 1 + len(rules())
    nothing = [
        RuleResult(rule.name, Outcome.NOT_JUDGED, reason="no fit")
        for rule in rules(about_module=False)
    ]
    assert len(summary(NAME, nothing, 80).splitlines()) < 24


def test_the_report_as_json_has_every_rule(tmp_path: Path) -> None:
    write(tmp_path / "out.json", NAME, RESULTS, about_module=True)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["datamodule"] == NAME
    assert [rule["rule"] for rule in content["rules"]] == [rule.name for rule in rules()]
    by_name = {rule["rule"]: rule for rule in content["rules"]}
    assert by_name[NAMES[1]] == {
        "rule": NAMES[1], "outcome": "broken", "seen": RESULTS[1].seen, "why": "It matters.",
        "fix": "Fix it.", "reason": "",
    }  # fmt: skip
    (left_out,) = {rule["reason"] for rule in content["rules"][-20:]} - {"", *REASONS}
    assert left_out == "left out of this run"
    assert content["counts"] == {
        "holds": 1, "broken": 1, "not judged": len(rules()) - 3, "acknowledged": 1
    }  # fmt: skip


def test_the_report_as_markdown_has_every_rule_with_the_broken_first(tmp_path: Path) -> None:
    write(tmp_path / "out.md", NAME, RESULTS, about_module=True)
    lines = (tmp_path / "out.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert len(rows) == len(rules())
    assert rows[0].startswith(f"| {NAMES[1]} | **broken** | a \\| b &lt;c&gt; and so on")
    assert rows[0].endswith("<br>*Why* It matters.<br>*Fix* Fix it. |")
    assert rows[1] == f"| {NAMES[2]} | acknowledged | It is intended.<br>*Seen* d |"
    assert f"| {NAMES[3]} | not judged | a plain fit fails |" in rows[2:-1]
    assert rows[-1] == f"| {NAMES[0]} | holds |  |"


def test_counts_name_what_there_is_of_each() -> None:
    assert describe_counts(RESULTS[:1]) == "1 rules hold, 0 broken, 0 not judged"


def run_session(path: str, folder: Path, *options: str) -> int:
    """Judge rules in a pytest session of the kit; return its exit code."""
    arguments = ["--datamodule", path, "--datamodule-arg", f"folder={folder}"]
    return pytest.main([*KIT, *arguments, *options])


def test_a_session_shows_each_result_as_an_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{DATAMODULES}.broken:RawPixels"
    (tmp_path / "conformance.toml").write_text(
        f'["{path}"]\n"images are finite and scaled" = "Our model expects it."\n'
        '"labels count from zero" = "An outdated reason."\n'
    )
    monkeypatch.chdir(tmp_path)
    selected = "images_are or labels_count or alone_calls"
    options = ["-k", selected, "--conformance-report", "out.json"]
    assert run_session(path, tmp_path, *options) == pytest.ExitCode.TESTS_FAILED
    content = json.loads((tmp_path / "out.json").read_text())
    outcomes = {rule["rule"]: rule["outcome"] for rule in content["rules"]}
    assert outcomes["images are finite and scaled"] == "acknowledged"
    assert outcomes["lightning alone calls the hooks"] == "holds"
    printed = capsys.readouterr().out
    assert "1 failed, 1 passed" in printed
    assert "1 xfailed" in printed
    assert "1 rules hold, 1 broken, 0 not judged, 1 acknowledged" in printed
    assert printed.count("\n  seen  the rule holds, but conformance.toml acknowledges") == 1
    assert "Traceback" not in printed
    assert "/lightning_conformance/session.py" not in printed


def test_rules_that_are_not_judged_are_skipped_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-k", "validation_changes_nothing or evaluation_repeats", "-rs"]
    path = f"{DATAMODULES}.broken:SetupWithoutStage"
    assert run_session(path, tmp_path, *options) == pytest.ExitCode.NO_TESTS_COLLECTED
    printed = capsys.readouterr().out
    for name in ("validation_changes_nothing", "evaluation_repeats"):
        assert re.search(f"SKIPPED .*::test_{name} - .*a plain fit fails", printed)


def test_the_summary_lists_what_follows_under_its_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--datamodule", f"{DATAMODULES}.others:Shuffled", "-k", "draws_of or resumed"]
    pytest.main([*KIT, *options])
    summary = " ".join(capsys.readouterr().out.rpartition("not judged  ")[2].split())
    cause = "follows from a broken rule: draws of the model change nothing"
    assert summary.startswith(f"{cause}: a resumed run goes on in its epoch")


def test_a_summary_outlives_a_report_that_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither root can write to /proc. COLUMNS is about a terminal: a log is not cut."""
    monkeypatch.setenv("COLUMNS", "40")
    (tmp_path / "out.md").symlink_to("/proc/absent.md")
    report = str(tmp_path / "out.md")
    options = ["-k", "images_are", "--conformance-report", report]
    ended = run_session(f"{DATAMODULES}.broken:RawPixels", tmp_path, *options)
    assert ended == pytest.ExitCode.USAGE_ERROR
    printed = capsys.readouterr().out
    assert "0 rules hold, 1 broken, 0 not judged" in printed
    assert f"\nERROR: --conformance-report {report}: No such file or directory.\n" in printed
    (line,) = re.findall("(?m)^  broken  .*", printed)
    assert re.fullmatch(r"  broken +images are finite and scaled: batch 0 .* to [\d.]+", line)


def test_an_invalid_deviation_and_one_for_something_else_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The invalid one before anything is imported."""
    monkeypatch.chdir(tmp_path)
    Path("conformance.toml").write_text('["my:Data"]\n"no rule" = "It is meant."\n')
    assert run_session("my:Data", tmp_path) == pytest.ExitCode.USAGE_ERROR
    assert '"no rule" is not a rule' in capsys.readouterr().err
    path = f"{DATAMODULES}.pictures:PicturesModule"
    assert run_session(path, tmp_path, "-k", "pickled") == pytest.ExitCode.OK
    assert f'no table is for ["{path}"]' in capsys.readouterr().out


def test_a_session_that_could_judge_no_fit_says_so_and_has_the_status_of_no_tests(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--datamodule", f"{DATAMODULES}.others:PredictsOnly", "-m", "not slow"]
    assert pytest.main([*KIT, *options]) == pytest.ExitCode.NO_TESTS_COLLECTED
    assert NOTHING_JUDGED in capsys.readouterr().out
    assert pytest.main([*KIT, *options, "-k", "pickled"]) == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("out.xml", "out.xml: name a file .json or .md."),
        ("no/out.md", "no/out.md: the folder no does not exist."),
        ("folder.md", "folder.md: it is a folder. Name a file."),
    ],
)
def test_a_report_that_can_not_be_written_is_refused_at_once(
    path: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.md").mkdir()
    options = ["--datamodule", "absent:Data", "--conformance-report", path]
    assert pytest.main([*KIT, *options]) == pytest.ExitCode.USAGE_ERROR
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "which DataModule?"),
        ("--datamodule absent:Data", "--datamodule absent:Data can't be imported"),
        ("--datamodule pathlib:Path", "pathlib:Path makes a PosixPath"),
        (f"--datamodule {DATAMODULES}.broken:RawPixels", "missing 1 required"),
        ("--datamodule pathlib:Path --datamodule-arg name", "--datamodule-arg name has no value"),
        ("--datamodule pathlib:Path --datamodule-arg =1", "--datamodule-arg =1 has no value"),
        ("--datamodule pathlib:Path --datamodule-arg a=[1,", "a=[1, is not YAML: expected the"),
        ("--datamodule pathlib:Path --datamodule-arg a=!!x:y", "a=!!x:y is not YAML: could not"),
        (
            "--datamodule pathlib:Path --datamodule-arg a=1 --datamodule-arg a=2",
            "--datamodule-arg a is given twice",
        ),
        (f"--datamodule absent:Data {__file__}", "no other path"),
        ("--datamodule pathlib:Path --datamodule-stages fit,tune", "--datamodule-stages tune"),
    ],
)
def test_an_invalid_option_is_one_clear_message(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pytest.main([*KIT, *options.split()]) == pytest.ExitCode.USAGE_ERROR
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err + printed.out
    assert "INTERNALERROR" not in printed.err + printed.out


def test_the_workflow_is_yaml_and_each_option_exists(pytestconfig: pytest.Config) -> None:
    text = (REPOSITORY / "docs/conformance.md").read_text()
    (workflow,) = re.findall(r"(?m)^    name: conformance\n(?:    .*\n)+", text)
    assert yaml.safe_load(workflow)["jobs"]["project"]["steps"]
    for name in set(re.findall(r"--((?:datamodule|conformance)[\w-]*)", text)):
        pytestconfig.getoption(name.replace("-", "_"))


def test_the_kits_old_name_says_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["datamodule_conformance" if option == PACKAGE else option for option in KIT]
    assert pytest.main([*options, "--datamodule", "absent:Data"]) == pytest.ExitCode.USAGE_ERROR
    assert "is now lightning_conformance: pytest --pyargs lightning" in capsys.readouterr().err
    with pytest.raises(ImportError, match="is now lightning_conformance"):
        importlib.import_module("datamodule_conformance")


def test_a_remark_on_a_rule_that_holds_is_in_the_summary_and_in_the_report(tmp_path: Path) -> None:
    remarked = RuleResult(NAMES[0], Outcome.HOLDS, reason="test has one tensor more")
    lines = summary(NAME, [remarked], 80).splitlines()
    assert lines[1:] == [f"  remark        {NAMES[0]}: test has one tensor more"]
    write(tmp_path / "out.md", NAME, [remarked])
    assert f"| {NAMES[0]} | holds | test has one tensor more |" in (tmp_path / "out.md").read_text()

"""`compare`: what it reports, what it refuses and how it ends."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmark.command_line import main
from benchmark.compare import recorded
from benchmark.report.schema import Record, Session, TrainingRecord
from tests.common.test_git import OPTIONS
from tests.support.made_records import DISTURBED, record, write_exported, write_results


@pytest.fixture
def sides(tmp_path: Path):
    """Writes two exported records and compares them."""

    def compare(before: Record, after: Record, *options: str) -> int:
        paths = [tmp_path / "before.json", tmp_path / "after.json"]
        for path, content in zip(paths, (before, after), strict=True):
            write_exported(path, content)
        return main(["compare", *map(str, paths), *options])

    return compare


def test_a_slowdown_beyond_what_sessions_differ_by_is_a_regression(sides, capsys) -> None:
    """Below three sessions 8 % is assumed: a difference of 22 % between two sessions."""
    assert sides(record(rate=100), record(rate=75)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (
        "cpu trainer: slower: 100.0 images/s to 75.0 images/s, -25.0% (-39.9% to -6.4%); sessions "
        "are assumed to vary by 8%"
    ) in lines
    assert "Regression: cpu trainer lost more than 5%" in lines


@pytest.mark.parametrize(
    ("rate", "kind", "limit"),
    [(90, "undecided", "5%"), (70, "slower", "0.4"), (150, "faster", "0")],
)
def test_a_slowdown_that_is_allowed_or_undecided_and_a_gain_are_none(
    sides, capsys, rate: float, kind: str, limit: str
) -> None:
    assert sides(record(rate=100), record(rate=rate), "--max-regression", limit) == 0
    out = capsys.readouterr().out
    assert f"cpu trainer: {kind}: 100.0 images/s to {rate}" in out
    assert f"{rate - 100:+}.0%" in out
    assert "Regression" not in out


def sessions(*rates: float) -> dict[str, Any]:
    """A record's field of sessions, one for each rate of the Trainer."""
    return {
        "sessions": tuple(
            Session(code="c", date="", images_per_second={"trainer": rate}) for rate in rates
        )
    }


def test_recorded_sessions_replace_the_assumed_spread(sides, capsys) -> None:
    """100, 100.5 and 101: a standard deviation of 0.5 %, and Student's t of 2 degrees is 4.3."""
    calm = record(rate=100).model_copy(update=sessions(100, 100.5, 101))
    assert sides(calm, record(rate=94), "--max-regression", "0.05") == 1
    assert "3 sessions vary by 0.5%" in capsys.readouterr().out
    assert sides(calm, record(rate=98), "--max-regression", "0") == 0
    lively = record(rate=100).model_copy(update=sessions(80, 100, 120))
    assert sides(lively, record(rate=50), "--max-regression", "0.05") == 0


def test_two_machines_need_the_sessions_of_both(sides, capsys) -> None:
    one = record(rate=100).model_copy(update=sessions(100, 100.5, 101))
    other = record(rate=90, machine="m2")
    assert sides(one, other) == 0
    assert "sessions are assumed to vary by 8%" in capsys.readouterr().out
    assert sides(one, other.model_copy(update=sessions(90, 91, 92, 90))) == 1
    assert "4 sessions vary by 1.1%" in capsys.readouterr().out


def test_lost_accuracy_is_a_regression_too(sides, capsys) -> None:
    assert sides(record(correct="1" * 40), record(correct="1" * 20 + "0" * 20)) == 1
    out = capsys.readouterr().out
    assert "cpu accuracy: lower: 100.0% to 50.0%, -50.0 points (-63.4 to -31.8); Wald's" in out


def test_another_mode_alone_is_no_regression(sides) -> None:
    after = record()
    modes = {**after.throughput.modes, "compute": record(rate=20).throughput.modes["compute"]}
    assert sides(record(), record(measured={"modes": modes})) == 0


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"workload": {"batch_size": 64}}, "cpu: not comparable: other batch_size"),
        ({"inputs": {"dataset": "x"}}, "cpu: not comparable: other dataset"),
        ({"correct": "1" * 42}, "cpu: not comparable: other dataset"),
        ({"name": "gpu"}, "cpu: not comparable: not measured in the second"),
        (
            {"workload": {"network": "vit_b_16"}},
            "cpu: not comparable: network resnet50, then vit_b_16",
        ),
    ],
)
def test_what_cannot_be_compared_is_an_exit_of_its_own(sides, capsys, changed, why) -> None:
    changed = dict(changed)
    assert sides(record(), record(changed.pop("name", "cpu"), **changed)) == 2
    assert why in capsys.readouterr().out


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_an_unstable_rate_is_reported_and_compared(sides, capsys, first, second) -> None:
    """Leaving unstable rates out would prefer lucky measurements."""

    def measured(rate: float, unstable: bool) -> Record:
        return record(rate=rate, measured={"verdict": DISTURBED} if unstable else None)

    assert sides(measured(100, first), measured(100, second)) == 0
    side = "first" if first else "second"
    assert f"vary by 8%; the {side} is unstable\n" in capsys.readouterr().out
    assert sides(measured(100, first), measured(50, second)) == 1


def test_trainings_of_other_parameters_are_named(sides, capsys) -> None:
    assert sides(record(), record(inputs={"parameters": "x"}, pixels="x")) == 0
    assert "threshold 0.05, trained with other parameters and pixels" in capsys.readouterr().out


def test_of_another_workload_the_accuracy_is_compared_and_the_rate_is_not(sides, capsys) -> None:
    assert sides(record(), record(workload={"precision": "bf16-mixed"})) == 2
    out = capsys.readouterr().out
    assert "cpu: not comparable: other precision" in out
    assert "cpu accuracy: undecided: 75.0% to 75.0%, +0.0 points" in out
    assert "images/s" not in out


def test_over_seeds_each_is_compared_with_itself(sides, capsys) -> None:
    """-2, -3 and -4 points: Student's t of 2 degrees is 4.3, the mean's standard error 0.58."""

    def trained(*accuracies: float) -> Record:
        first, *seeded = (with_accuracy(record().training, share) for share in accuracies)
        seeds = dict(enumerate(seeded, start=8))
        return record(seeds=seeds).model_copy(update={"training": first})

    assert sides(trained(0.8, 0.9, 0.7), trained(0.78, 0.87, 0.66)) == 0
    out = capsys.readouterr().out
    assert "cpu accuracy over seeds: lower: 80.0% to 77.0%, -3.0 points (-5.5 to -0.5); 3" in out
    sides(trained(0.8, 0.9), record())
    assert "over seeds" not in capsys.readouterr().out


def with_accuracy(trained: TrainingRecord, accuracy: float) -> TrainingRecord:
    test = trained.result.test.model_copy(update={"accuracy": accuracy})
    result = trained.result.model_copy(update={"test": test})
    return trained.model_copy(update={"result": result})


def test_other_code_is_what_is_compared(sides) -> None:
    assert sides(record(), record(workload={"code": "x"})) == 0


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def commit_reports() -> None:
    git("init")
    git("add", "reports")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-m", "m")


def test_a_revision_is_compared_with_the_work_tree(workspace: Path, capsys) -> None:
    write_results("cpu", rate=100.0)
    commit_reports()
    write_results("cpu", rate=50.0)
    assert main(["compare", "HEAD", "."]) == 1
    assert "cpu trainer: slower: 100.0 images/s to 50.00 images/s" in capsys.readouterr().out
    assert main(["compare", ".", "HEAD"]) == 0


def test_the_revision_is_of_the_repository_here_also_in_a_hook(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git tells a hook which repository it runs for."""
    write_results("cpu", rate=100.0)
    commit_reports()
    monkeypatch.setenv("GIT_DIR", str(workspace / "elsewhere"))
    assert main(["compare", "HEAD", "."]) == 0


def test_where_two_commits_cannot_be_compared_the_duel_is_named(workspace, capsys) -> None:
    write_results("cpu", machine="m1")
    commit_reports()
    write_results("cpu", machine="m2")
    assert main(["compare", "HEAD", "."]) == 2
    out = capsys.readouterr().out
    assert out.startswith("cpu: not comparable: other machine (a cpu of m1, then a cpu of m2): ")
    assert out.endswith(f"{recorded.DUEL}\n")


def test_a_machine_is_named_by_its_id(workspace: Path, capsys) -> None:
    for machine, rate in (("m1", 100.0), ("m2", 60.0)):
        path = Path(f"reports/machines/{machine}/cpu.json")
        write_exported(path, record(machine=machine, rate=rate))
    assert main(["compare", "m1", "reports/machines/m2"]) == 1
    assert "-40.0%" in capsys.readouterr().out
    write_results("cpu", rate=50.0)
    assert main(["compare", "m1", "."]) == 1
    assert "-50.0%" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["no-such-thing", "data"])
def test_a_source_without_results_is_named(workspace: Path, capsys, source: str) -> None:
    assert main(["compare", source, source]) == 2
    error: Any = capsys.readouterr().err
    assert error.startswith("error: ")
    assert source in error
    assert error.count("\n") == 1


def refused(capsys, *sides: str) -> str:
    """Return the one error line that says why two sides are not compared."""
    assert main(["compare", *sides]) == 2
    error: str = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_the_reason_that_git_gives_is_shown(workspace: Path, capsys, monkeypatch) -> None:
    write_results("cpu")
    assert "(fatal: not a git repository" in refused(capsys, "HEAD", ".")
    commit_reports()
    assert "(fatal: Needed a single revision)" in refused(capsys, "no-such", ".")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    assert "(fatal: detected dubious ownership in repository at " in refused(capsys, "HEAD", ".")
    monkeypatch.setenv("PATH", str(workspace))
    assert "(git is not installed). Install git" in refused(capsys, "HEAD", ".")


@pytest.mark.parametrize("name", OPTIONS)
def test_a_revision_is_not_taken_for_an_option_of_git(workspace: Path, capsys, name: str) -> None:
    write_results("cpu")
    commit_reports()
    before = set(workspace.iterdir())
    assert repr(name) in refused(capsys, "--", name, ".")
    assert set(workspace.iterdir()) == before


def test_a_revision_with_a_link_that_leaves_it_is_refused(workspace: Path, capsys) -> None:
    """The results behind the link would not be the revision's."""
    write_results("cpu")
    elsewhere = Path("reports/throughput/cpu.json").rename(workspace.parent / "elsewhere.json")
    Path("reports/throughput/cpu.json").symlink_to(elsewhere)
    commit_reports()
    assert "'reports/throughput/cpu.json' is a link to an absolute path" in refused(
        capsys, "HEAD", "."
    )


def test_a_shallow_clone_says_how_to_get_the_rest(workspace: Path, capsys, monkeypatch) -> None:
    write_results("cpu")
    commit_reports()
    git("clone", "--depth", "1", f"file://{workspace}", "shallow")
    monkeypatch.chdir("shallow")
    assert "This clone is shallow" in refused(capsys, "0" * 40, ".")
    assert main(["compare", "HEAD", "."]) == 0


def test_a_revision_of_another_version_is_refused_with_the_remedy(workspace, capsys) -> None:
    write_results("cpu")
    path = Path("reports/throughput/cpu.json")
    content = path.read_text()
    path.write_text(content.replace('"ratios"', '"quotients"'))
    commit_reports()
    path.write_text(content)
    error = refused(capsys, "HEAD", ".")
    assert error.startswith(
        "error: This version of the suite cannot read the results of 'HEAD' "
        "(reports/throughput/cpu.json is "
    )
    assert error.endswith("Time both revisions: .venv/bin/python -m benchmark duel HEAD\n")


def test_a_page_for_a_pull_request(sides, tmp_path: Path) -> None:
    before, after = record(rate=100, correct="1" * 40), record(rate=50, correct="1" * 40)
    assert (
        sides(before, after, "--markdown", str(tmp_path / "compare.md"), "--max-regression", "5%")
        == 1
    )
    page = (tmp_path / "compare.md").read_text()
    assert page.startswith("# ")
    assert "\n\n**Regression: cpu trainer lost more than 5%.**\n\n" in page
    assert "| cpu | trainer | 100.0 images/s | 50.00 images/s | -50.0% (-59.9% to -37.6%); " in page
    assert "| slower |" in page
    sides(before, record("gpu"), "--markdown", str(tmp_path / "compare.md"))
    assert (
        "| cpu | not measured in the second | not comparable |\n"
        in (tmp_path / "compare.md").read_text()
    )


def test_nothing_that_others_name_is_markup(sides, tmp_path: Path, capsys) -> None:
    """A record may contain any name of a mode."""
    spiteful = "<b>|`a`\x1b[31m\u202e\n# x"
    rate = record().throughput.modes["compute"]
    hostile = record(measured={"modes": {**record().throughput.modes, spiteful: rate}})
    assert sides(hostile, hostile, "--markdown", str(tmp_path / "compare.md")) == 0
    output = capsys.readouterr().out
    page = (tmp_path / "compare.md").read_text()
    assert r"cpu <b>|`a`\x1b[31m\u202e\n# x: " in output
    assert r"| &lt;b>\|\`a\`\x1b\[31m\u202e # x |" in page
    assert not {"\x1b", "\u202e"} & {*output, *page}


def test_the_machines_of_a_folder_are_named(workspace: Path, capsys) -> None:
    for machine in ("m1", "m2"):
        write_exported(Path(f"reports/machines/{machine}/cpu.json"), record(machine=machine))
    error = refused(capsys, "reports/machines", ".")
    assert error.endswith("does not contain exported results. Name one of its machines: m1, m2.\n")


@pytest.mark.parametrize("limit", ["-0.1", "1", "much", "100%", "%"])
def test_the_limit_is_a_part(capsys, limit: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "a", "b", "--max-regression", limit])
    assert ended.value.code == 2
    assert "--max-regression" in capsys.readouterr().err


def test_a_first_side_without_results_is_named(workspace: Path, capsys) -> None:
    Path("empty/reports").mkdir(parents=True)
    write_results("cpu")
    assert refused(capsys, "empty", ".") == (
        "error: empty has no results. Measure it first: make repro.\n"
    )
    assert main(["compare", ".", "empty"]) == 2
    assert "cpu: not comparable: not measured in the second" in capsys.readouterr().out


def test_lost_accuracy_is_a_part_of_what_it_was(sides) -> None:
    """20.0 % to 16.0 %: four points, which are a fifth."""
    before, after = (record(correct="1" * right + "0" * (200 - right)) for right in (40, 32))
    assert sides(before, after, "--max-regression", "0.19") == 1
    assert sides(before, after, "--max-regression", "0.21") == 0


def test_rates_on_other_data_are_not_compared(sides, capsys) -> None:
    """Even if both trained on the same data."""
    assert sides(record(), record(measured={"dataset": "x"})) == 2
    assert capsys.readouterr().out == "cpu: not comparable: other dataset\n"

"""What the stages wrote, as one record; and that what is exported names nobody."""

import json
from math import nan
from pathlib import Path
from typing import Any

import pytest

from benchmark.common.errors import UserError
from benchmark.common.files import write_json
from benchmark.common.results import Results
from benchmark.report import record
from benchmark.report.record import MACHINES
from benchmark.report.schema import Record
from benchmark.report.sessions import continued
from tests.report import made
from tests.report.made import write_absent, write_results


def test_a_record_is_what_the_stages_wrote_without_single_blocks(workspace: Path) -> None:
    seeds = {8: made.training(correct="10" * 20, first_different_step=3)}
    written = write_results("cpu", seeds=seeds, train_images=15)
    assert record.read("cpu", [8]) == written
    assert record.read("cpu").seeds == {}


def test_a_stage_that_has_not_run_is_named(workspace: Path) -> None:
    write_results("cpu")
    for path in (Results("cpu").own.replay, Results("cpu").own.predictions):
        path.unlink()
        with pytest.raises(UserError, match=rf"{path} is not here.*make repro"):
            record.read("cpu")


def test_an_export_can_be_read_back_on_another_machine(change, workspace: Path) -> None:
    written = write_results("cpu", machine="b" * 16, train_images=15)
    write_absent("gpu")
    paths = record.export(change(accelerators=["cpu", "gpu"]))
    assert paths == [MACHINES / ("b" * 16) / "cpu.json"]
    assert record.read_others([]) == [continued(written, None)]
    assert record.read_others([written]) == []


@pytest.mark.parametrize("change_of", [{"python": "3.99.0"}, {"gpu": "0" * 16}, {"cores": 999}])
def test_an_export_of_this_machine_with_other_hardware_or_software_is_shown(
    change, workspace: Path, change_of: dict[str, Any]
) -> None:
    """An id is of the machine; what it had in it when it was measured may be another."""
    old = write_results("cpu", machine="b" * 16, train_images=15)
    record.export(change(accelerators=["cpu"]))
    environment = old.environment.model_copy(update=change_of)
    now = old.model_copy(update={"environment": environment})
    assert record.read_others([now]) == [continued(old, None)]


def exported(change, **options: Any) -> Record:
    """What an export leaves, after a measurement."""
    write_results("cpu", **options)
    [path] = record.export(change(accelerators=["cpu"]))
    return record.load(path)


def test_exports_keep_the_sessions_of_a_machine(change, workspace: Path) -> None:
    for rate in (50.0, 60.0, 60.0, 55.0):
        found = exported(change, rate=rate, workload={"code": f"{rate}"})
    said = [session.images_per_second["trainer"] for session in found.sessions]
    assert said == [50.0, 60.0, 55.0]
    assert [session.code for session in found.sessions] == ["50.0", "60.0", "55.0"]
    now = write_results("cpu", rate=57.0)
    assert len(record.with_sessions(now).sessions) == 4


@pytest.mark.parametrize(
    "changed", [{"workload": {"batch_size": 8}}, {"packages": {"torch": "3.0.0"}}]
)
def test_sessions_of_other_work_do_not_count(change, workspace: Path, changed) -> None:
    exported(change)
    assert len(exported(change, rate=51.0, **changed).sessions) == 1


def test_an_export_of_another_version_is_replaced(change, workspace: Path) -> None:
    exported(change)
    [path] = MACHINES.glob("*/*.json")
    path.write_text('{"schema_version": 3}')
    assert len(exported(change).sessions) == 1


def test_an_export_names_no_person_host_or_path(change, workspace: Path, monkeypatch) -> None:
    monkeypatch.setenv("USER", "somebody")
    write_results("cpu")
    [path] = record.export(change())
    text = path.read_text()
    for secret in (str(workspace), str(Path.home()), "somebody", ".png"):
        assert secret not in text


def test_nothing_to_export_is_said(change, workspace: Path) -> None:
    write_absent("gpu")
    with pytest.raises(UserError, match="There is nothing to export"):
        record.export(change(accelerators=["gpu"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no exported result: Expecting"),
        ("[]", "is no exported result: its schema version is None, not 4. Export it anew"),
        ('{"schema_version": 1}', "its schema version is 1, not 4. Export it anew"),
        ('{"schema_version": 4, "name": "cpu"}', "result: environment: field required. Exp"),
    ],
)
def test_a_foreign_file_is_checked(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        record.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["environment.machine", "throughput.efficiency"])
def test_what_reports_need_must_be_there(tmp_path: Path, path: str) -> None:
    content = made.exported(made.record())
    parent, key = path.split(".")
    del content[parent][key]
    write_json(tmp_path / "x.json", content)
    with pytest.raises(UserError, match=f"result: {path}: field required. Export it anew"):
        record.load(tmp_path / "x.json")


def test_a_result_of_an_older_version_is_named_with_the_key(workspace: Path) -> None:
    write_results("cpu")
    path = Results("cpu").throughput
    content = json.loads(path.read_text()) | {"verdict": "stable"}
    write_json(path, content)
    said = rf"{path} is not what this version writes: ok\.verdict: input should be .* make repro"
    with pytest.raises(UserError, match=said) as refused:
        record.read("cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["m2/cpu.json", "m1/gpu.json"])
def test_a_record_lies_where_it_belongs(workspace: Path, name: str) -> None:
    """Else one machine would stand in the report twice."""
    made.write_exported(MACHINES / name, made.record(machine="m1"))
    with pytest.raises(UserError, match=rf"{name} holds what belongs in {MACHINES}/m1/cpu\.json"):
        record.read_others([])


def test_a_training_that_diverged_can_be_exported(change, workspace: Path) -> None:
    write_results("cpu", losses=(1.0, nan))
    [path] = record.export(change())
    assert str(record.load(path).training.losses) == "(1.0, nan)"


def test_an_unknown_key_is_no_result_of_this_version(tmp_path: Path) -> None:
    content = made.exported(made.record()) | {"extra": 1}
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is no exported result"):
        record.load(tmp_path / "x.json")

"""A record contains what the stages wrote, and its export names no person."""

import json
import os
import platform
import pwd
import socket
from math import nan
from pathlib import Path
from typing import Any

import pytest

from benchmark.common.files import write_json
from benchmark.common.results import DATASET, ResultPaths, write_result
from benchmark.errors.user_error import UserError
from benchmark.machine import environment
from benchmark.machine.accelerators import Accelerator
from benchmark.pipeline import report
from benchmark.report import record
from benchmark.report.record import MACHINES
from benchmark.report.schema import Record
from benchmark.report.sessions import continue_sessions
from tests import REPOSITORY
from tests.report.golden import batch_curve
from tests.support import made_records
from tests.support.made_records import write_absent, write_results


def test_a_record_is_what_the_stages_wrote_without_single_blocks(workspace: Path) -> None:
    seeds = {8: made_records.training(correct="10" * 20, first_different_step=3)}
    written = write_results("cpu", seeds=seeds, train_images=15)
    assert record.read("cpu", [8]) == written
    assert record.read("cpu").seeds == {}


def test_a_stage_that_has_not_run_is_named(workspace: Path) -> None:
    write_results("cpu")
    for path in (ResultPaths("cpu").own.replay, ResultPaths("cpu").own.predictions):
        path.unlink()
        with pytest.raises(UserError, match=rf"{path} is not here.*make repro"):
            record.read("cpu")


def test_an_export_can_be_read_back_on_another_machine(change, workspace: Path) -> None:
    written = write_results("cpu", machine="b" * 16, train_images=15)
    write_absent("gpu")
    paths = record.export(change(accelerators=["cpu", "gpu"]))
    assert paths == [MACHINES / ("b" * 16) / "cpu.json"]
    assert record.read_exported([]) == [continue_sessions(written, None)]
    assert record.read_exported([written]) == []


@pytest.mark.parametrize("change_of", [{"python": "3.99.0"}, {"gpu": "0" * 16}, {"cores": 999}])
def test_an_export_of_this_machine_with_other_hardware_or_software_is_shown(
    change, workspace: Path, change_of: dict[str, Any]
) -> None:
    """The id stays that of the machine, while its GPU or its software may be replaced."""
    old = write_results("cpu", machine="b" * 16, train_images=15)
    record.export(change(accelerators=["cpu"]))
    environment = old.environment.model_copy(update=change_of)
    now = old.model_copy(update={"environment": environment})
    assert record.read_exported([now]) == [continue_sessions(old, None)]


def test_exports_of_two_networks_are_two_files(change, workspace: Path) -> None:
    write_results("cpu", machine="b" * 16)
    [first] = record.export(change(accelerators=["cpu"]))
    now = write_results("cpu", machine="b" * 16, workload={"network": "vit_b_16"})
    [second] = record.export(change(accelerators=["cpu"]))
    assert [first.name, second.name] == ["cpu.json", "cpu-vit_b_16.json"]
    assert [other.network for other in record.read_exported([])] == ["vit_b_16", "resnet50"]
    assert [other.network for other in record.read_exported([now])] == ["resnet50"]


def exported(change, **options: Any) -> Record:
    """Write results, export them, and return the record that was exported."""
    write_results("cpu", **options)
    [path] = record.export(change(accelerators=["cpu"]))
    return record.load(path)


def test_exports_keep_the_sessions_of_a_machine(change, workspace: Path) -> None:
    for rate in (50.0, 60.0, 60.0, 55.0):
        loaded = exported(change, rate=rate, workload={"code": f"{rate}"})
    rates = [session.images_per_second["trainer"] for session in loaded.sessions]
    assert rates == [50.0, 60.0, 55.0]
    assert [session.code for session in loaded.sessions] == ["50.0", "60.0", "55.0"]
    now = write_results("cpu", rate=57.0)
    assert len(record.add_exported_sessions(now).sessions) == 4


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


def test_nothing_that_is_written_names_a_person_a_host_or_a_path(
    change, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This concerns the export, all forms of the report, and the environment stage's file."""
    secrets = {name: f"secret{name.lower()}" for name in ("USER", "LOGNAME", "HOSTNAME", "TOKEN")}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "gethostname", lambda: "secrethost")
    monkeypatch.setattr(platform, "node", lambda: "secrethost")
    root = workspace.rename(workspace.with_name("secretplace"))
    monkeypatch.chdir(root)
    earlier = write_results("cpu").environment
    now = environment.fingerprint(Accelerator("cpu", "a cpu"))
    write_result(ResultPaths("cpu").environment, now)
    write_result(DATASET, made_records.DATASET)
    parameters = change(accelerators=["cpu"])
    paths = record.export(parameters)
    report.run(parameters)
    assert earlier != now
    written = [path for path in Path("reports").rglob("*") if path.is_file()]
    assert {*paths, Path("reports/report.html"), Path("reports/comparison.json")} <= {*written}
    hidden = ("secret", str(root.parent), str(REPOSITORY), *real_names())
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert [secret for secret in hidden if secret in text] == [], path


def real_names() -> list[str]:
    """Return names of the host and the user, except short ones, which a report may contain."""
    names = (os.uname().nodename, pwd.getpwuid(os.getuid()).pw_name, f"{Path.home()}/")
    return [name for name in names if len(name) > 5]


def test_nothing_to_export_is_an_error(change, workspace: Path) -> None:
    write_absent("gpu")
    with pytest.raises(UserError, match="There is nothing to export"):
        record.export(change(accelerators=["gpu"]))


def test_a_result_of_an_older_version_is_named_with_the_key(workspace: Path) -> None:
    write_results("cpu")
    path = ResultPaths("cpu").throughput
    content = json.loads(path.read_text()) | {"verdict": "stable"}
    write_json(path, content)
    message = rf"{path} is not what this version writes: ok\.verdict: input should be .* make repro"
    with pytest.raises(UserError, match=message) as refused:
        record.read("cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"ratio": 2.0', '"ratio": 0', "curve.points.0.ratio: input should be greater than 0"),
        ('"low": 97.0', '"low": -1', "throughput.curve.best is not a rate"),
        ('"batch_size": 64', '"batch_size": 0', "curve.points.0.batch_size: input should be gr"),
    ],
)
def test_a_curve_that_cannot_be_compared_is_refused(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    path = tmp_path / "x.json"
    curve = batch_curve(50, 2.0, end="memory", memory=2**30)
    result = made_records.record(measured={"curve": curve})
    made_records.write_exported(path, result)
    assert record.load(path) == result
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))
    assert why in refused(path)


@pytest.mark.parametrize("name", ["m2/cpu.json", "m1/gpu.json"])
def test_a_record_lies_where_it_belongs(workspace: Path, name: str) -> None:
    """Otherwise the report would contain one machine twice."""
    made_records.write_exported(MACHINES / name, made_records.record(machine="m1"))
    with pytest.raises(
        UserError, match=rf"{name} contains what belongs in {MACHINES}/m1/cpu\.json"
    ):
        record.read_exported([])


def test_a_training_that_diverged_can_be_exported(change, workspace: Path) -> None:
    write_results("cpu", losses=(1.0, nan))
    [path] = record.export(change())
    assert str(record.load(path).training.losses) == "(1.0, nan)"


def refused(path: Path) -> str:
    """Load an exported file, which must fail, and return the message, which must be one line."""
    with pytest.raises(UserError) as caught:
        record.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not an exported result of this version: ")
    assert len(message.splitlines()) == 1
    return message


def test_a_device_or_fifo_is_refused_at_once(tmp_path: Path) -> None:
    """A repository may contain a link to a device that never ends."""
    (tmp_path / "x.json").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "y.json")
    for name in ("x.json", "y.json", "z.json"):
        assert "it is not a file" in refused(tmp_path / name)


def test_a_file_of_others_may_have_the_largest_size_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    made_records.write_exported(path, made_records.record())
    size = path.stat().st_size
    monkeypatch.setattr(record, "LARGEST", size)
    assert record.load(path) == made_records.record()
    monkeypatch.setattr(record, "LARGEST", size - 1)
    assert "it is larger than 0 MiB" in refused(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "invalid JSON"),
        ("[" * 200_000, "invalid JSON: recursion limit exceeded"),
        ("[]", "input should be an object. Export it again"),
        ('{"schema_version": 5}', "schema_version: input should be 6. Export it again"),
        ('{"schema_version": 6, "name": "cpu"}', "environment: field required. Export it again"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert why in refused(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"seed": 1', '"seed": NaN', "throughput.seed: input should be a finite number"),
        ('"seed": 1', '"seed": -Infinity', "throughput.seed: input should be a finite number"),
        ('"seed": 1', '"seed": 1e999', "throughput.seed: input should be a finite number"),
        ('"seed": 1', f'"seed": {"9" * 5000}', "invalid JSON: number out of range"),
        ('"seed": 1', f'"seed": {"9" * 40}', "throughput.seed is not a number that can"),
        ('"other_work": 0.01', '"other_work": "NaN"', "throughput.other_work is not a number"),
        ('"other_work": 0.01', '"other_work": 1e-300', "throughput.other_work is not a number"),
        ('"seed": 1', '"seed": 1, "sead": 2', "throughput.sead: extra inputs are not permitted"),
        ('"cpu": "a cpu"', r'"cpu": "\ud800"', "invalid JSON: unexpected end of hex escape"),
        ('"efficiency": {', '"sufficiency": {', "throughput.efficiency: field required. Export it"),
        ('"name": "cpu"', '"name": "../cpu"', "name: string should match pattern '^(cpu|gpu|tpu"),
        ('"machine": "aaaa', '"machine": "../aaaa', "environment.machine is not a machine's id"),
        ('"machine": "aaaa', '"machine": "\\"><b>', "environment.machine is not a machine's id"),
        ('"degrees": 5.0', '"degrees": 0.5', "0.5 degrees of freedom are fewer than 1"),
        ('"degrees": 5.0', '"degrees": null', "throughput.modes.trainer is not a rate"),
        ('"low": 49.75', '"low": -1', "throughput.modes.trainer is not a rate"),
        ('"low": 49.75', '"low": 60', "images_per_second: 50.0 is not between 60.0 and 50"),
        ('"trainer": {\n        "images', '"x": {\n        "images', "throughput.modes has no tr"),
        ('"p50"', '"p51"', "throughput.trainer.step_seconds: a percentile is missing"),
        ('"features_seconds": 0.0', '"features_seconds": -1', "training: timing: a time is below"),
        ('"epoch_seconds": [', '"epoch_seconds": [9,', "training: timing.epoch_seconds is not one"),
        ('"correct": "1', '"correct": "', "training: by_class contradicts correct"),
        ('"correct": "1', '"correct": "2', "training.correct: string should match pattern"),
        ('"accuracies": [', '"accuracies": [2,', "accuracies.0: input should be less than or eq"),
        ('"sweep": []', '"sweep": [{"changes": {"batch_size": "x"}, "status": "failed"}]', "batch"),
        (
            '"sessions": []',
            '"sessions": [{"code": "c", "date": "", "images_per_second": {"trainer": 0}}]',
            "sessions.0.images_per_second.trainer: input should be greater than 0",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    path = tmp_path / "x.json"
    made_records.write_exported(path, made_records.record())
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))
    assert why in refused(path)


def test_results_that_would_be_exported_elsewhere_are_refused(change, workspace: Path) -> None:
    """The id of a machine becomes the name of a folder."""
    write_results("cpu")
    path = ResultPaths("cpu").environment
    write_json(path, json.loads(path.read_text()) | {"machine": "../../../elsewhere"})
    with pytest.raises(UserError, match=r"^What cpu has in reports cannot be compared: environm"):
        record.export(change(accelerators=["cpu"]))
    assert not (workspace.parent / "elsewhere").exists()


@pytest.mark.parametrize(("old", "new"), [("1,1,", "1,1,x"), ("train_loss", "loss")])
def test_a_damaged_table_is_one_line(workspace: Path, old: str, new: str) -> None:
    write_results("cpu")
    path = ResultPaths("cpu").own.steps
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=r"^What cpu has in reports cannot be compared: .*loss|x4"):
        record.read("cpu")

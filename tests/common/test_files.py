import os
import stat
import subprocess
from pathlib import Path

import pytest

from benchmark.common.files import new_directory, read_json, write_bytes, write_csv, write_json


def test_json_comes_back_and_ends_with_a_newline(tmp_path) -> None:
    path = tmp_path / "made" / "value.json"
    write_json(path, {"b": [1, 2.5], "a": "é"})
    assert read_json(path) == {"b": [1, 2.5], "a": "é"}
    assert path.read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize(("umask", "modes"), [(0o022, (0o755, 0o644)), (0o027, (0o750, 0o640))])
def test_files_and_directories_follow_the_umask(tmp_path, umask: int, modes) -> None:
    before = os.umask(umask)
    try:
        with new_directory(tmp_path / "made") as directory:
            write_bytes(directory / "file", b"")
    finally:
        os.umask(before)
    made = tmp_path / "made", tmp_path / "made/file"
    assert tuple(stat.S_IMODE(path.stat().st_mode) for path in made) == modes


def test_a_value_that_json_lacks_overwrites_nothing(tmp_path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_csv_has_a_header_and_quotes_what_needs_it(tmp_path) -> None:
    write_csv(tmp_path / "t.csv", ("a", "b"), [(1, 'x,"y"')])
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1,"x,""y"""\n'


def test_a_new_directory_replaces_the_old_one_when_it_is_whole(tmp_path) -> None:
    target = tmp_path / "model"
    for name in ("first", "second"):
        with new_directory(target) as temporary:
            (temporary / name).touch()
            assert not (target / name).exists()
    assert [path.name for path in target.iterdir()] == ["second"]


def interrupted(target: Path) -> None:
    with new_directory(target) as temporary:
        (temporary / "new").touch()
        raise KeyboardInterrupt


def test_an_interrupted_directory_leaves_the_old_one_and_no_litter(tmp_path) -> None:
    target = tmp_path / "model"
    with new_directory(target) as temporary:
        (temporary / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        interrupted(target)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["result.json", "a [b]*.json"])
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path, name: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, alive = (f".{name}.{number}.00ff.tmp" for number in (ended.pid, os.getpid()))
    (tmp_path / dead).mkdir()
    (tmp_path / dead / "weights").touch()
    for other in (alive, f".{name}.x.tmp", f".x{name}.{ended.pid}.00ff.tmp"):
        (tmp_path / other).touch()
    write_bytes(tmp_path / name, b"content")
    assert not (tmp_path / dead).exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_name_that_is_no_text_is_written_as_an_escape_and_read_again(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"\udcff": "é"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "\\udcff": "é"\n}\n'
    assert read_json(tmp_path / "a.json") == {"\udcff": "é"}

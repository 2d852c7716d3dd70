import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmark.common.files import new_directory, read_json, write_bytes, write_csv, write_json
from benchmark.common.temporary import reserve_space
from tests import REPOSITORY


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


HOLD = """
import sys
from pathlib import Path
from benchmark.common.files import new_directory

with new_directory(Path(sys.argv[1])) as directory:
    (directory / "weights").touch()
    print("written", flush=True)
    sys.stdin.read()
"""


@contextmanager
def writer(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process that is about to replace the directory `path`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], cwd=REPOSITORY,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == b"written\n"
        yield process


@pytest.mark.parametrize("name", ["result", "a [b]*.json"])
def test_files_of_killed_processes_are_removed_and_no_others(tmp_path: Path, name: str) -> None:
    with writer(tmp_path / name) as process:
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1
    foreign = [f".{name}.x", f".{name}.0123456789abcdeg.tmp", f".x{name}.0123456789abcdef.tmp"]
    for other in foreign:
        (tmp_path / other).mkdir()
    write_bytes(tmp_path / name, b"content")
    assert {path.name for path in tmp_path.iterdir()} == {*foreign, name}


def test_files_of_a_process_in_another_container_stay(tmp_path: Path, monkeypatch) -> None:
    """Two containers share a volume, and neither sees the other's process numbers."""
    monkeypatch.setattr(psutil, "pid_exists", lambda number: False)
    with writer(tmp_path / "model") as process:
        with new_directory(tmp_path / "model") as directory:
            (directory / "first").touch()
        process.communicate()
    assert process.returncode == 0
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["weights"]


def test_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch) -> None:
    """Without fsync, a file could be empty after a power cut and look like a result."""
    events: list[tuple[str, int]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def note(kind: str, call: Callable[..., None]) -> Callable[..., None]:
        def noted(*paths: Any) -> None:
            events.append((kind, os.stat(paths[0]).st_ino))
            call(*paths)

        return noted

    monkeypatch.setattr(os, "fsync", note("fsync", fsync))
    monkeypatch.setattr(os, "rename", note("rename", rename))
    monkeypatch.setattr(os, "replace", note("rename", replace))
    write_bytes(tmp_path / "file", b"content")
    file = (tmp_path / "file").stat().st_ino
    parent = tmp_path.stat().st_ino
    assert events == [("fsync", file), ("rename", file), ("fsync", parent)]
    events.clear()
    with new_directory(tmp_path / "model") as directory:
        (directory / "weights").write_bytes(b"content")
    model = (tmp_path / "model").stat().st_ino
    weights = (tmp_path / "model/weights").stat().st_ino
    assert set(events[:2]) == {("fsync", weights), ("fsync", model)}
    assert events[2:] == [("rename", model), ("fsync", parent)]


FILE_EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


def replaced(target: Path, limit: int) -> None:
    """Replace a directory, and die before call number `limit` that changes a folder."""
    events = count()

    def kill(event: str, _: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and next(events) == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    with new_directory(target) as directory:
        (directory / "new").touch()


def test_a_kill_at_any_moment_loses_no_directory(tmp_path: Path) -> None:
    contents = []
    for limit in count():
        target = tmp_path / str(limit) / "model"
        with new_directory(target) as directory:
            (directory / "old").touch()
        process = get_context("fork").Process(target=replaced, args=(target, limit))
        process.start()
        process.join()
        with pytest.raises(KeyboardInterrupt):  # the next call restores
            interrupted(target)
        contents.append([path.name for path in target.iterdir()])
        assert list(target.parent.iterdir()) == [target]
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert len(contents) > 3
    assert contents[0] == ["old"]
    assert contents[-1] == ["new"]
    assert all(names in (["old"], ["new"]) for names in contents)


def test_a_name_that_is_no_text_is_written_as_an_escape_and_read_again(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"\udcff": "é"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "\\udcff": "é"\n}\n'
    assert read_json(tmp_path / "a.json") == {"\udcff": "é"}


def reserve(path: Path, _: bytes) -> None:
    with reserve_space(path):
        pass


@pytest.mark.parametrize("write", [write_bytes, reserve])
def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path, write) -> None:
    """Root cannot make a file in /proc either."""
    path = Path("/proc/self/result.json")
    with pytest.raises(OSError, match=r"'/proc/self/result\.json'$"):
        write(path, b"")

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from benchmark.command_line import main
from benchmark.common.results import DATASET, write_result
from benchmark.machine import accelerators
from benchmark.report.record import MACHINES
from tests import REPOSITORY
from tests.support import made_records
from tests.support.forked_python import forked, python
from tests.support.made_records import record, write_exported, write_results


def files(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def edit(**changes: object) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    for name, value in changes.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    Path("params.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["train", "npu"], {}, "'npu' is not an accelerator. Choose from cpu, gpu, tpu, xla."),
        (["train", "cpu"], {"train": {"max_epochs": 0}}, "params.yaml: train.max_epochs = 0: "),
        (["train", "cpu"], {"data": {"root": "elsewhere"}}, "elsewhere/train: missing folder."),
        (["train", "cpu"], {"model": {"weights": "w.pt"}}, "there is no file 'w.pt'."),
        (["throughput", "cpu"], {"model": {"weights": "w.pt"}}, "there is no file 'w.pt'."),
        (["throughput", "cpu"], {"throughput": {"repeats": 0}}, "throughput.repeats = 0: input"),
        (
            ["throughput", "cpu"],
            {"throughput": {"modes": ["trainer", "x"]}},
            "modes.1 = 'x': ",
        ),
        (["throughput", "cpu"], {"throughput": {"modes": ["loop"]}}, "lacks trainer, with which"),
        (["throughput", "cpu"], {"data": {"batch_size": 99}}, "there are 15 training images"),
        (["train", "cpu", "--training", "control"], {}, "reports/train/cpu/own.json is not here."),
        (["replay", "cpu"], {}, "reports/train/cpu/own.json is not here."),
        (["replay", "cpu", "--training", "control"], {}, "train/cpu/control.json is not here."),
        (["replay", "cpu", "--training", "0"], {"seeds": [0]}, "train/cpu/0.json is not here."),
        (["report"], {}, "reports/train/cpu/own.json is not here."),
        (["dataset"], {}, "data.dvc is not here. Pin the directory: dvc add data."),
    ],
)
def test_bad_input_is_one_line_and_overwrites_nothing(
    workspace: Path, capsys, arguments, changes, message
) -> None:
    edit(**changes)
    before = files(workspace)
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.err.startswith("error: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    after = {name: content for name, content in files(workspace).items() if "/.check" not in name}
    assert after == before


@pytest.mark.parametrize("adam", ["fused", "foreach"])
@pytest.mark.parametrize("stage", ["train", "throughput"])
def test_an_implementation_of_adam_is_refused_where_there_is_none(
    workspace: Path, capsys, monkeypatch, stage: str, adam: str
) -> None:
    """The check does not need torch_xla."""
    monkeypatch.setattr(accelerators, "find_spec", lambda name: object())
    edit(train={"adam": adam})
    assert main([stage, "xla"]) == 1
    assert f"xla does not support {adam}. Set" in capsys.readouterr().err


def test_an_unreadable_image_is_one_line_without_a_traceback(workspace: Path) -> None:
    (workspace / "data/train/class 0/002.png").write_bytes(b"no image")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [python(), "-m", "tests.support.small", "train", "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: data/train/class 0/002.png is not an image. Replace or remove it."
    ]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252:strict"])
def test_names_that_the_output_cannot_encode_are_escaped(workspace: Path, encoding: str) -> None:
    """`check` prints the name of a class with a problem; the report that of another's device."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": encoding}
    Path("data/train/class 0").rename("data/train/猫")
    write_results("cpu")
    write_exported(MACHINES / "m1/cpu.json", record(machine="m1", device="猫"))
    write_result(DATASET, made_records.DATASET)
    for command, status, words in (
        (["check", "data"], 1, r"val/\u732b"),
        (["report"], 0, r"On another machine \u732b, cpu on m1"),
        (["train", "猫"], 1, r"'\u732b' is not an accelerator"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", *command], env=environment, capture_output=True
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (status, False), done.stderr
        assert words in (done.stdout + done.stderr).decode("ascii", "replace")


def begun(stage: str, root: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a stage; return it with its child processes once it works."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(root)}
    command = [python(), "-m", "tests.support.small", stage, "cpu"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    if stage == "train":
        assert "epoch 2/" in next(line for line in process.stdout if "epoch 2" in line)
    while not (children := [child for it in forked() for child in it.children(recursive=True)]):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
    return process, children


@pytest.mark.parametrize(
    ("stage", "number", "devices"),
    [("train", signal.SIGINT, 1), ("throughput", signal.SIGTERM, 1), ("train", signal.SIGINT, 2)],
)
def test_a_signal_ends_a_stage_in_one_line(
    workspace: Path, tmp_path: Path, stage: str, number: signal.Signals, devices: int
) -> None:
    """Its exit status is a shell's (128 + signal); no process or temporary file is left."""
    edit(train={"max_epochs": 500, "patience": 500}, data={"num_workers": 1})
    edit(trainer={"devices": devices})
    (temporary := tmp_path / "temporary").mkdir()
    process, children = begun(stage, temporary)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    lines = [line for line in errors.splitlines() if not line.startswith("warning: other work")]
    assert lines == [f"Ended by {number.name}."]
    assert process.returncode == 128 + number
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert list(temporary.iterdir()) == []


def test_two_ranks_print_what_one_process_prints(workspace: Path) -> None:
    """No line of torch's launcher, of gloo or of Lightning, and no warning."""
    edit(trainer={"devices": 2, "sync_batchnorm": True})
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [python(), "-m", "tests.support.small", "train", "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"cpu epoch {k}/3" for k in (1, 2, 3)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_torch_is_loaded_ends_a_stage_in_one_line(
    workspace: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """It takes seconds; here, one that takes a minute stands in its place. It waits in many short
    waits: Python does not notice a signal that comes just before a long one until it has ended."""
    (slow := tmp_path / "slow/torch").mkdir(parents=True)
    begun = tmp_path / "begun"
    wait = "import time\nfor _ in range(600):\n    time.sleep(0.1)"
    (slow / "__init__.py").write_text(f"open({str(begun)!r}, 'w').close()\n{wait}")
    environment = os.environ | {"PYTHONPATH": f"{slow.parent}{os.pathsep}{REPOSITORY}"}
    command = [sys.executable, "-m", "benchmark", "environment", "cpu"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not begun.exists():
        assert process.poll() is None
    process.send_signal(number)
    assert process.communicate(timeout=60)[1] == f"Ended by {number.name}.\n"
    assert process.returncode == 128 + number


PARENT = """
import os, runpy, sys
if stage := os.fork():
    print(stage, flush=True)
    input()
else:
    sys.argv[1:] = ["train", "cpu"]
    runpy.run_module("tests.support.small", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("variable", ["DVC_ROOT", "TORCHELASTIC_RUN_ID", "OTHER"])
def test_a_stage_ends_with_the_dvc_or_launcher_that_started_it_and_with_no_other_parent(
    workspace: Path, variable: str
) -> None:
    """Under a launcher the stage prints nothing: the launcher names the process that ended."""
    edit(train={"max_epochs": 5000, "patience": 5000})
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), variable: str(workspace)}
    process = subprocess.Popen(
        [python(), "-c", PARENT], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    stage = psutil.Process(int(process.stdout.readline()))
    assert next(line for line in process.stdout if "epoch 2" in line)
    process.kill()
    ended = psutil.wait_procs([stage], timeout=3 if variable == "OTHER" else 20)[0]
    if not ended:
        stage.kill()
    errors = process.communicate()[1].splitlines()
    assert ended == ([] if variable == "OTHER" else [stage])
    assert errors == (["Ended by SIGTERM."] if variable == "DVC_ROOT" else [])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_what_the_system_refuses_is_one_line(workspace: Path, capsys, monkeypatch, number) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "replace", refused)
    assert main(["code"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: reports/code/")
    assert f": {os.strerror(number)}. " in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that",
            "A loader process had too little space in /dev/shm. "
            "Enlarge it (docker run --shm-size=1g), or set data.num_workers = 0.",
        ),
        (
            "DataLoader timed out after 600 seconds",
            "The loader processes gave no batch for minutes. Set data.num_workers = 0 to see where "
            "they wait.",
        ),
    ],
)
def test_what_ends_loader_processes_is_one_line(
    workspace: Path, capsys, monkeypatch, exception: str, message: str
) -> None:
    def run(_: object) -> None:
        raise RuntimeError(exception)

    monkeypatch.setattr("benchmark.pipeline.code.run", run)
    assert main(["code"]) == 1
    assert capsys.readouterr().err == f"error: {message}\n"


def test_an_error_of_the_code_keeps_its_traceback(workspace: Path, monkeypatch) -> None:
    monkeypatch.setattr(Path, "replace", lambda *_: os.stat("absent"))
    with pytest.raises(FileNotFoundError):
        main(["code"])


@pytest.mark.usefixtures("no_gpu")
def test_an_absent_accelerator_is_a_result_and_not_an_error(workspace: Path, capsys) -> None:
    for stage in ("environment", "train", "throughput"):
        assert main([stage, "gpu"]) == 0
        message = "gpu is unavailable: no CUDA or MPS device found. This is recorded."
        assert capsys.readouterr().out.splitlines()[0] == message
    result = json.loads(Path("reports/throughput/gpu.json").read_text())
    assert (result["status"], result["reason"]) == ("unavailable", "no CUDA or MPS device found")


@pytest.mark.usefixtures("no_gpu")
def test_one_process_describes_all_accelerators(workspace: Path, capsys) -> None:
    edit(accelerators=["cpu", "gpu"])
    before = {path: path.read_bytes() for path in Path("reports/environment").iterdir()}
    assert main(["environment"]) == 0
    written = {path.stem for path, content in before.items() if path.read_bytes() != content}
    assert written == {"cpu", "gpu"}
    Path("reports/environment/gpu.json").unlink()
    cpu = Path("reports/environment/cpu.json").read_bytes()
    assert main(["environment", "gpu"]) == 0
    assert json.loads(Path("reports/environment/gpu.json").read_text())["status"] == "unavailable"
    assert Path("reports/environment/cpu.json").read_bytes() == cpu


def test_a_seed_that_was_not_planned_is_refused(workspace: Path, capsys) -> None:
    assert main(["train", "cpu", "--training", "5"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: params.yaml: seeds does not contain 5. Add it"
    )


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("stage", ["train", "replay"])
def test_a_training_that_is_a_path_removes_nothing(workspace: Path, capsys, stage: str) -> None:
    """An absent accelerator removes the models of the named training."""
    (workspace / "models/gpu").mkdir(parents=True)
    before = files(workspace)
    assert main([stage, "gpu", "--training", "../.."]) == 1
    assert "params.yaml: seeds does not contain ../.." in capsys.readouterr().err
    assert files(workspace) == before


def test_a_command_is_required(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "required: command" in capsys.readouterr().err


def test_output_that_nobody_reads_is_no_error(workspace: Path) -> None:
    """As with `check data | head`."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "benchmark", "check", "data"]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writing)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")

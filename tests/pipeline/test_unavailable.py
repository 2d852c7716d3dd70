from pathlib import Path

import pytest

from benchmark.common.files import read_json
from benchmark.common.results import CONTROL, OWN, ResultPaths, TrainingPaths
from benchmark.machine.accelerators import Accelerator
from benchmark.pipeline import unavailable

GPU = ResultPaths("gpu")


def _training(of: TrainingPaths) -> set[Path]:
    tables = {of.steps, of.epochs, of.predictions, of.tensors}
    return {of.result, of.timing, *tables, of.model / "status.json"}


@pytest.mark.parametrize(
    ("stage", "training", "outputs"),
    [
        ("environment", OWN, {GPU.environment}),
        ("throughput", OWN, {GPU.throughput}),
        ("replay", OWN, {GPU.own.replay}),
        ("train", OWN, _training(GPU.own)),
        ("train", CONTROL, _training(GPU.control)),
        ("train", "8", _training(GPU.training("8"))),
        ("replay", CONTROL, {GPU.control.replay}),
        ("replay", "8", {GPU.training("8").replay}),
    ],
)
def test_every_output_of_the_stage_says_why(
    tmp_path, monkeypatch, stage: str, training: str, outputs: set[Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    unavailable.run(Accelerator("gpu", "", "gone"), stage, training)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == outputs
    result = {"status": "unavailable", "accelerator": "gpu", "reason": "gone"}
    for path in written:
        assert path.suffix == ".csv" or read_json(path) == result


def test_tables_keep_their_headers_and_no_stale_weights_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    GPU.own.model.mkdir(parents=True)
    (GPU.own.model / "weights.safetensors").write_bytes(b"of another day")
    unavailable.run(Accelerator("gpu", "", "gone"), "train")
    assert [path.name for path in GPU.own.model.iterdir()] == ["status.json"]
    assert GPU.own.steps.read_text() == "step,epoch,train_loss\n"
    assert GPU.own.predictions.read_text() == "image,label,prediction,probability\n"
    assert GPU.own.epochs.read_text() == "epoch,train_loss,val_loss,val_accuracy,val_top5\n"
    assert GPU.own.tensors.read_text() == "tensor\n"


def files(root: Path) -> dict[Path, str]:
    """Return the content of all files in the folder."""
    return {p.relative_to(root): p.read_text() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("stage", ["environment", "train", "replay", "throughput"])
def test_what_an_accelerator_left_that_was_here_is_set_aside(
    stage: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    """A second run does not replace the results in SET_ASIDE."""
    monkeypatch.chdir(tmp_path)
    gone = Accelerator("gpu", "", "the driver is broken")
    unavailable.run(gone, stage)
    for path in files(tmp_path):
        path.write_text('{"status": "ok"}')
    before = files(tmp_path)
    capsys.readouterr()
    for _ in range(2):
        unavailable.run(gone, stage)
    assert files(tmp_path / unavailable.SET_ASIDE) == before
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("gpu was available before: reports/")
    assert line.endswith(" is moved to set_aside/.")
    for path in before:
        path.write_text('{"status": "ok", "later": true}')
    unavailable.run(gone, stage)
    assert "later" in next(iter(files(tmp_path / unavailable.SET_ASIDE).values()))


@pytest.mark.parametrize("content", [b"[]", b"no JSON", b"\xff"])
def test_what_is_no_result_is_replaced(tmp_path: Path, monkeypatch, content: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    GPU.throughput.parent.mkdir(parents=True)
    GPU.throughput.write_bytes(content)
    unavailable.run(Accelerator("gpu", "", "gone"), "throughput")
    assert read_json(GPU.throughput)["status"] == "unavailable"
    assert not unavailable.SET_ASIDE.exists()

from pathlib import Path

import pytest

from benchmark.common.files import read_json
from benchmark.common.results import CONTROL, OWN, Results, TrainingResults
from benchmark.machine import unavailable
from benchmark.machine.accelerators import Accelerator

GPU = Results("gpu")


def _training(of: TrainingResults) -> set[Path]:
    return {of.result, of.timing, of.steps, of.epochs, of.predictions, of.model / "status.json"}


@pytest.mark.parametrize("stage", ["environment", "train", "replay", "throughput"])
def test_every_output_of_the_stage_says_why(stage: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    getattr(unavailable, stage)(Accelerator("gpu", "", "no CUDA or MPS device found"))
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    outputs = {
        "environment": {GPU.environment},
        "train": _training(GPU.own),
        "replay": {GPU.own.replay},
        "throughput": {GPU.throughput},
    }
    assert written == outputs[stage]
    for path in written:
        if path.suffix == ".json":
            assert read_json(path) == {
                "status": "unavailable",
                "accelerator": "gpu",
                "reason": "no CUDA or MPS device found",
            }


@pytest.mark.parametrize(
    ("stage", "training", "outputs"),
    [
        ("train", OWN, _training(GPU.own)),
        ("train", CONTROL, _training(GPU.control)),
        ("train", "8", _training(GPU.training("8"))),
        ("replay", CONTROL, {GPU.control.replay}),
        ("replay", "8", {GPU.training("8").replay}),
    ],
)
def test_each_further_training_has_outputs_of_its_own(
    tmp_path, monkeypatch, stage: str, training: str, outputs: set[Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    getattr(unavailable, stage)(Accelerator("gpu", "", "gone"), training)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == outputs


def test_tables_keep_their_headers_and_no_stale_weights_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    GPU.own.model.mkdir(parents=True)
    (GPU.own.model / "weights.safetensors").write_bytes(b"of another day")
    unavailable.train(Accelerator("gpu", "", "gone"))
    assert [path.name for path in GPU.own.model.iterdir()] == ["status.json"]
    assert GPU.own.steps.read_text() == "step,epoch,train_loss\n"
    assert GPU.own.predictions.read_text() == "image,label,prediction,probability\n"
    assert GPU.own.epochs.read_text() == "epoch,train_loss,val_loss,val_accuracy,val_top5\n"

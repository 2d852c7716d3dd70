from pathlib import Path
from typing import Any

import pytest

from benchmark.common.files import read_json
from benchmark.common.results import Results
from benchmark.machine import unavailable
from benchmark.machine.accelerators import Accelerator

GPU = Results("gpu")


def _training(of: Results) -> set[Path]:
    return {of.training, of.timing, of.steps, of.epochs, of.predictions, of.model / "status.json"}


@pytest.mark.parametrize("stage", ["environment", "train", "control", "replay", "throughput"])
def test_every_output_of_the_stage_says_why(stage: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    getattr(unavailable, stage)(Accelerator("gpu", "", "no CUDA or MPS device found"))
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    outputs = {
        "environment": {GPU.environment},
        "train": _training(GPU),
        "control": _training(GPU.control),
        "replay": {GPU.replay},
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
    ("stage", "which", "outputs"),
    [
        ("train", {"seed": 8}, _training(GPU.seed(8))),
        ("replay", {"seed": 8}, {GPU.seed(8).replay}),
        ("replay", {"control": True}, {GPU.control.replay}),
    ],
)
def test_each_further_training_has_outputs_of_its_own(
    tmp_path, monkeypatch, stage: str, which: dict[str, Any], outputs: set[Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    getattr(unavailable, stage)(Accelerator("gpu", "", "gone"), **which)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == outputs


def test_tables_keep_their_headers_and_no_stale_weights_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    GPU.model.mkdir(parents=True)
    (GPU.model / "weights.safetensors").write_bytes(b"of another day")
    unavailable.train(Accelerator("gpu", "", "gone"))
    assert [path.name for path in GPU.model.iterdir()] == ["status.json"]
    assert GPU.steps.read_text() == "step,epoch,train_loss\n"
    assert GPU.predictions.read_text() == "image,label,prediction,probability\n"
    assert GPU.epochs.read_text() == "epoch,train_loss,val_loss,val_accuracy,val_top5\n"

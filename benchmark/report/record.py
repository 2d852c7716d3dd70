"""All that is known of one accelerator of one machine: what the report compares.

Those of this machine are read from what its stages wrote; those of other machines from the files
that `python -m benchmark export` wrote there.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmark.errors import UserError
from benchmark.files import read_json, write_json
from benchmark.parameters import Parameters
from benchmark.results import DATASET, REPORTS, Results, read_result

MACHINES = REPORTS / "machines"
SCHEMA_VERSION = 2
NEEDED = (
    "environment.machine", "environment.python", "environment.packages",
    "training.result.accelerator", "training.result.device", "training.result.inputs",
    "training.result.digests.order_by_epoch", "training.result.test.top5",
    "training.timing.total_seconds", "training.replay.bitwise",
    "throughput.modes.trainer.images_per_second", "throughput.noise_floor", "throughput.ratios",
    "throughput.verdict", "throughput.workload.batch_size", "throughput.trainer.step_seconds",
    "throughput.efficiency.utilisation", "throughput.efficiency.peak_memory",
    "throughput.efficiency.energy",
)  # fmt: skip
"""What every exported record must hold, besides what a Record itself demands."""


class Training(BaseModel):
    """One training, or the reason why there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    result: dict[str, Any]
    """As the stage wrote it."""
    timing: dict[str, Any]
    losses: tuple[float, ...]
    """Of each step."""
    accuracies: tuple[float, ...]
    """On validation, after each epoch."""
    correct: str
    """A digit for each test image, in the order of the files: 1 where its class was found."""
    replay: dict[str, Any]
    """Of its first steps, in a process of its own."""

    @property
    def ran(self) -> bool:
        """Whether the accelerator was there."""
        return bool(self.result["status"] == "ok")

    @property
    def digests(self) -> dict[str, Any]:
        """What proves its weights and what it was shown."""
        digests: dict[str, Any] = self.result["digests"]
        return digests


class Record(BaseModel):
    """One accelerator of one machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    name: str
    """As in params.yaml."""
    environment: dict[str, Any]
    training: Training
    seeds: dict[int, Training]
    """The same with further seeds."""
    throughput: dict[str, Any]
    """Without the single blocks."""
    train_images: int
    """Of the dataset that it trained on."""

    @property
    def available(self) -> bool:
        """Whether the accelerator was there."""
        return self.training.ran

    @property
    def label(self) -> str:
        """What reports call the accelerator."""
        return str(self.training.result["accelerator"])

    @property
    def rate(self) -> dict[str, float]:
        """Training images per second: median, low, high."""
        rate: dict[str, float] = self.throughput["modes"]["trainer"]["images_per_second"]
        return rate

    @property
    def machine(self) -> str:
        """The machine's opaque id; empty where the accelerator is absent."""
        return str(self.environment.get("machine", ""))


def read(name: str, seeds: Sequence[int] = ()) -> Record:
    """What this machine's stages wrote about the accelerator `name`, `seeds` being further ones.

    Raises:
        UserError: one of them has not run.
    """
    results = Results(name)
    training, throughput = read_training(results), read_result(results.throughput)
    return Record(
        name=name,
        environment=read_result(results.environment),
        training=training,
        seeds={seed: read_training(results.seed(seed)) for seed in seeds},
        throughput={key: value for key, value in throughput.items() if key != "samples"},
        train_images=read_result(DATASET)["images"]["train"],
    )


def read_training(results: Results) -> Training:
    """One training from its files.

    Raises:
        UserError: it has not run.
    """
    result = read_result(results.training)
    predictions = rows(results.predictions)
    return Training(
        result=result,
        timing=read_result(results.timing),
        losses=tuple(float(row["train_loss"]) for row in rows(results.steps)),
        accuracies=tuple(float(row["val_accuracy"]) for row in rows(results.epochs)),
        correct="".join(str(int(row["label"] == row["prediction"])) for row in predictions),
        replay=read_result(results.replay),
    )


def export(parameters: Parameters) -> list[Path]:
    """Write this machine's records where a repository of others can take them.

    Returns:
        The files: MACHINES/<machine>/<accelerator>.json, none for an absent accelerator.

    Raises:
        UserError: a stage has not run, or no accelerator was there.
    """
    records = [read(name, parameters.seeds) for name in parameters.accelerators]
    present = [record for record in records if record.available]
    if not present:
        raise UserError(
            "There is nothing to export: no accelerator of params.yaml was there.",
            "Name one that this machine has.",
        )
    paths = [MACHINES / record.machine / f"{record.name}.json" for record in present]
    for path, record in zip(paths, present, strict=True):
        write_json(path, json.loads(record.model_dump_json()))  # JSON has no NaN, the model "NaN"
    return paths


def read_others(own: str) -> list[Record]:
    """The exported records of every machine but `own`, by machine and accelerator.

    Raises:
        UserError: a file is no such record, or lies under another's name.
    """
    records = {path: load(path) for path in sorted(MACHINES.glob("*/*.json"))}
    for path, record in records.items():
        named = MACHINES / record.machine / f"{record.name}.json"
        if path != named:
            raise UserError(
                f"{path} holds what belongs in {named}.", "Move it there, or remove it."
            )
    return [record for record in records.values() if record.machine != own]


def load(path: Path) -> Record:
    """An exported record.

    Raises:
        UserError: `path` is none, or of another version of this suite.
    """
    try:
        return _parse(read_json(path))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} is no exported result: {reason}.",
            "Export it anew with this version of the suite, or remove it.",
        ) from None


def _parse(content: Any) -> Record:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema version is {version}, not {SCHEMA_VERSION}")
    record = Record.model_validate(content)
    lacking = [path for path in NEEDED if not _holds(content, path)]
    if lacking:
        raise ValueError(f"it lacks {lacking[0]}")
    return record


def _holds(content: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def rows(path: Path) -> list[dict[str, str]]:
    """The lines of a table that a stage wrote, by its header.

    Raises:
        UserError: it has not run.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(
            f"{path} is not here.", "Run the stages before this one: dvc repro."
        ) from None

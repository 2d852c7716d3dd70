"""Reads and exports records: all results of one accelerator of one machine.

This machine's records are read from the files of the stages. Other machines' records are the files
that `python -m benchmark export` wrote on those machines.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from benchmark.common.files import write_json
from benchmark.common.parameters import Parameters
from benchmark.common.results import (
    DATASET,
    REPORTS,
    ResultPaths,
    TrainingPaths,
    Unavailable,
    complaint,
    read_result,
)
from benchmark.data.schema import DATASET_RESULT
from benchmark.errors.user_error import UserError
from benchmark.machine.schema import ENVIRONMENT
from benchmark.report.schema import RECORD, Absent, Price, Record, TrainingRecord
from benchmark.report.sessions import continue_sessions
from benchmark.throughput.schema import THROUGHPUT
from benchmark.training.schema import REPLAY, TIMING, TRAINING

MACHINES = REPORTS / "machines"
LARGEST = 32 * 2**20
"""Largest size of an exported file in bytes, enough for about a million training steps."""
Recall = tuple[str, int, int]
"""A class, its correctly classified test images, and all its test images."""
T = TypeVar("T")


def read(name: str, seeds: Sequence[int] = ()) -> Record | Absent:
    """Read what the stages wrote about accelerator `name`, with its trainings of other `seeds`.

    Raises:
        UserError: a stage has not run, or wrote what cannot be compared.
    """
    paths = ResultPaths(name)
    training = read_training(paths.own)
    if isinstance(training, Unavailable):
        return Absent(name=name, label=training.accelerator, reason=training.reason)
    by_seed = {seed: read_training(paths.training(str(seed))) for seed in seeds}
    with _refuse_incomparable(f"What {name} has in {REPORTS}"):
        return Record(
            name=name,
            environment=_read_available(paths.environment, ENVIRONMENT),
            training=training,
            seeds={seed: run for seed, run in by_seed.items() if isinstance(run, TrainingRecord)},
            throughput=_read_available(paths.throughput, THROUGHPUT).exported(),
            train_images=read_result(DATASET, DATASET_RESULT).images.get("train", 0),
        )


def read_local(name: str, parameters: Parameters) -> Record | Absent:
    """Read a record as `read` does, then add its price and the sessions of earlier exports.

    Raises:
        UserError: a stage has not run, or wrote what cannot be compared.
    """
    record = read(name, parameters.seeds)
    if isinstance(record, Absent):
        return record
    prices = {str(key): price for key, price in parameters.report.price_per_hour.items()}
    if name in prices:
        price = Price(per_hour=prices[name], currency=parameters.report.currency)
        record = record.model_copy(update={"price": price})
    return add_exported_sessions(record)


def read_training(paths: TrainingPaths) -> TrainingRecord | Unavailable:
    """Read one training from its files.

    Raises:
        UserError: the training has not run, or left what cannot be compared.
    """
    result = read_result(paths.result, TRAINING)
    if isinstance(result, Unavailable):
        return result
    with _refuse_incomparable(f"What {paths.accelerator}{paths.kind} has in {REPORTS}"):
        predictions = rows(paths.predictions)
        return TrainingRecord(
            result=result,
            timing=_read_available(paths.timing, TIMING),
            losses=tuple(float(row["train_loss"]) for row in rows(paths.steps)),
            accuracies=tuple(float(row["val_accuracy"]) for row in rows(paths.epochs)),
            correct="".join(str(int(row["label"] == row["prediction"])) for row in predictions),
            by_class=tuple((right, images) for _, right, images in recalls(predictions)),
            replay=_read_available(paths.replay, REPLAY),
        )


def export(parameters: Parameters) -> list[Path]:
    """Write this machine's records for the repositories of other machines.

    Returns:
        The files, none for an absent accelerator: MACHINES/<machine>/<accelerator>.json, or
        <accelerator>-<network>.json if the network is not ResNet50.

    Raises:
        UserError: a stage has not run, or all accelerators are absent.
    """
    records = [read_local(name, parameters) for name in parameters.accelerators]
    present = [record for record in records if isinstance(record, Record)]
    if not present:
        raise UserError(
            "There is nothing to export: this machine has no accelerator of params.yaml.",
            "Name one that it has.",
        )
    for record in present:
        # JSON has no NaN: the model writes "NaN".
        write_json(_path(record), json.loads(record.model_dump_json(exclude_none=True)))
    return [_path(record) for record in present]


def add_exported_sessions(record: Record) -> Record:
    """Return a copy of this machine's record with the sessions of its earlier export, if any.

    An export that cannot be read counts as none.
    """
    exported = None
    with suppress(UserError):
        exported = load(_path(record))
    return continue_sessions(record, exported)


def read_exported(local: Sequence[Record]) -> list[Record]:
    """Read all exported records, except those of the same machine and environment as in `local`.

    An export of this machine with other hardware or software, or of another network, counts as
    another machine's. The records are sorted by machine and accelerator.

    Raises:
        UserError: a file is not a record, or is not at its record's path.
    """
    records = {path: load(path) for path in sorted(MACHINES.glob("*/*.json"))}
    for path, record in records.items():
        if path != _path(record):
            raise UserError(
                f"{path} contains what belongs in {_path(record)}.", "Move it there, or remove it."
            )
    environments = {(record.machine, record.key): record.environment for record in local}
    return [r for r in records.values() if environments.get((r.machine, r.key)) != r.environment]


def load(path: Path) -> Record:
    """Read and check an exported record.

    Raises:
        UserError: `path` does not contain one, or another version of this suite wrote it.
    """
    try:
        return RECORD.validate_json(_read_limited(path))
    except ValidationError as error:
        reason = complaint(error)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
    raise UserError(
        f"{path} is not an exported result of this version: {reason}.",
        "Export it again with this version of the suite, or remove it.",
    )


def recalls(predictions: Sequence[Mapping[str, str]]) -> list[Recall]:
    """Count the correct predictions of each class; sorted by class name."""
    images = Counter(row["label"] for row in predictions)
    right = Counter(row["label"] for row in predictions if row["label"] == row["prediction"])
    return [(name, right[name], images[name]) for name in sorted(images)]


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table that a stage wrote; each row is a dict with the header's names as keys.

    Raises:
        UserError: the stage has not run.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(
            f"{path} is not here.", "Run the stages before this one: make repro."
        ) from None


def _read_limited(path: Path) -> bytes:
    """Read at most LARGEST bytes. A link of another repository may lead to an endless device."""
    if not path.is_file():
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
    return content


def _read_available(path: Path, adapter: TypeAdapter[T | Unavailable]) -> T:
    result = read_result(path, adapter)
    if isinstance(result, Unavailable):
        raise UserError(f"{path} is of an absent accelerator.", "Repeat it: make repro.")
    return result


def _path(record: Record) -> Path:
    return MACHINES / record.machine / f"{record.key}.json"


@contextmanager
def _refuse_incomparable(what: str) -> Iterator[None]:
    """Turn an error in the result `what`, such as a missing column, into a UserError."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, ValueError) as error:
        reason = complaint(error) if isinstance(error, ValidationError) else str(error)
        raise UserError(
            f"{what} cannot be compared: {' '.join(reason.split())}.", "Repeat it: make repro."
        ) from None

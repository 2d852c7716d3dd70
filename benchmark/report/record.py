"""Reads and exports records: all that is known of one accelerator of one machine.

Those of this machine are read from what its stages wrote; those of other machines from the files
that `python -m benchmark export` wrote there.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

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
from benchmark.report import exported, soundness
from benchmark.report.schema import (
    RECORD,
    RECORD_VERSION,
    Absent,
    Price,
    Record,
    TrainingRecord,
)
from benchmark.report.sessions import continued
from benchmark.throughput.schema import THROUGHPUT
from benchmark.training.schema import REPLAY, TIMING, TRAINING

MACHINES = REPORTS / "machines"
T = TypeVar("T")


def read(name: str, seeds: Sequence[int] = ()) -> Record | Absent:
    """What this machine's stages wrote about the accelerator `name`, `seeds` being further ones.

    Raises:
        UserError: one of them has not run, or wrote what cannot be compared.
    """
    results = ResultPaths(name)
    training = read_training(results.own)
    if isinstance(training, Unavailable):
        return Absent(name=name, label=training.accelerator, reason=training.reason)
    further = {seed: read_training(results.training(str(seed))) for seed in seeds}
    found = Record(
        name=name,
        environment=_present(results.environment, ENVIRONMENT),
        training=training,
        seeds={seed: run for seed, run in further.items() if isinstance(run, TrainingRecord)},
        throughput=_present(results.throughput, THROUGHPUT).exported(),
        train_images=read_result(DATASET, DATASET_RESULT).images.get("train", 0),
    )
    with _sound(f"What {name} has in {REPORTS}"):
        return soundness.check(found)


def of_machine(name: str, parameters: Parameters) -> Record | Absent:
    """What `read` finds, with the machine's price and the sessions that it has exported."""
    found = read(name, parameters.seeds)
    if isinstance(found, Absent):
        return found
    prices = {str(key): price for key, price in parameters.report.price_per_hour.items()}
    if name in prices:
        price = Price(per_hour=prices[name], currency=parameters.report.currency)
        found = found.model_copy(update={"price": price})
    return with_sessions(found)


def read_training(results: TrainingPaths) -> TrainingRecord | Unavailable:
    """One training from its files.

    Raises:
        UserError: it has not run, or left what cannot be compared.
    """
    result = read_result(results.result, TRAINING)
    if isinstance(result, Unavailable):
        return result
    with _sound(f"What {results.accelerator}{results.kind} has in {REPORTS}"):
        predictions = rows(results.predictions)
        found = TrainingRecord(
            result=result,
            timing=_present(results.timing, TIMING),
            losses=tuple(float(row["train_loss"]) for row in rows(results.steps)),
            accuracies=tuple(float(row["val_accuracy"]) for row in rows(results.epochs)),
            correct="".join(str(int(row["label"] == row["prediction"])) for row in predictions),
            by_class=tuple((right, images) for _, right, images in recalls(predictions)),
            replay=_present(results.replay, REPLAY),
        )
        return soundness.check_training(found)


def export(parameters: Parameters) -> list[Path]:
    """Write this machine's records where a repository of others can take them.

    Returns:
        The files: MACHINES/<machine>/<accelerator>.json, none for an absent accelerator.

    Raises:
        UserError: a stage has not run, or no accelerator was there.
    """
    records = [of_machine(name, parameters) for name in parameters.accelerators]
    present = [record for record in records if isinstance(record, Record)]
    if not present:
        raise UserError(
            "There is nothing to export: no accelerator of params.yaml was there.",
            "Name one that this machine has.",
        )
    for record in present:
        # JSON has no NaN: the model writes "NaN".
        write_json(_path(record), json.loads(record.model_dump_json(exclude_none=True)))
    return [_path(record) for record in present]


def with_sessions(record: Record) -> Record:
    """A record of this machine, with the sessions that the machine has exported; an export that
    this version of the suite cannot read holds none."""
    before = None
    with suppress(UserError):
        before = load(_path(record))
    return continued(record, before)


def read_others(own: Sequence[Record]) -> list[Record]:
    """The exported records, by machine and accelerator, but those of `own` accelerators on this
    machine as it is now: with other hardware or software it was another one.

    Raises:
        UserError: a file is no such record, or lies under another's name.
    """
    records = {path: load(path) for path in sorted(MACHINES.glob("*/*.json"))}
    for path, record in records.items():
        if path != _path(record):
            raise UserError(
                f"{path} holds what belongs in {_path(record)}.", "Move it there, or remove it."
            )
    here = {(record.machine, record.name): record.environment for record in own}
    return [r for r in records.values() if here.get((r.machine, r.name)) != r.environment]


def load(path: Path) -> Record:
    """An exported record.

    Raises:
        UserError: `path` is none, or of another version of this suite.
    """
    try:
        content = exported.read(path)
        _check_version(content)
        return soundness.check(RECORD.validate_python(content))
    except ValidationError as error:
        reason = complaint(error)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
    raise UserError(
        f"{path} is no exported result: {reason}.",
        "Export it anew with this version of the suite, or remove it.",
    )


def recalls(predictions: Sequence[Mapping[str, str]]) -> list[tuple[str, int, int]]:
    """Each class by name, how many of its images were found, and how many there are."""
    images = Counter(row["label"] for row in predictions)
    found = Counter(row["label"] for row in predictions if row["label"] == row["prediction"])
    return [(name, found[name], images[name]) for name in sorted(images)]


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
            f"{path} is not here.", "Run the stages before this one: make repro."
        ) from None


def _present(path: Path, kind: TypeAdapter[T | Unavailable]) -> T:
    """A result of an accelerator that has trained.

    Raises:
        UserError: the stage has not run, or the accelerator was absent then.
    """
    found = read_result(path, kind)
    if isinstance(found, Unavailable):
        raise UserError(f"{path} is of an absent accelerator.", "Repeat it: make repro.")
    return found


def _path(record: Record) -> Path:
    return MACHINES / record.machine / f"{record.name}.json"


def _check_version(value: Any) -> None:
    """Before its keys are judged."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != RECORD_VERSION:
        raise ValueError(f"its schema version is {version!r:.20}, not {RECORD_VERSION}")


@contextmanager
def _sound(what: str) -> Iterator[None]:
    """Makes one line of what makes a result useless: a missing column, a rate of 0."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{what} cannot be compared: {reason}.", "Repeat it: make repro.") from None

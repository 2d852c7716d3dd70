"""The dataset stage: bring the pinned images and weights, refuse altered ones, record them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmark.common.errors import UserError
from benchmark.common.files import read_json, sha256
from benchmark.common.parameters import SOURCE_WEIGHTS, ModelParameters, Parameters
from benchmark.common.results import DATASET, WEIGHTS, write_result
from benchmark.data.folder import DatasetFiles, scan
from benchmark.data.schema import Dataset, Weights


def run(parameters: Parameters) -> None:
    """The stage: `dvc pull` images and weights; write reports/dataset.json and weights.json.

    Raises:
        UserError: they differ from their pins, cannot be fetched, or are not complete.
    """
    root = Path(parameters.data.root)
    pin = root.with_name(f"{root.name}.dvc")
    pinned = _pull(pin)
    if parameters.model.weights_file == SOURCE_WEIGHTS:
        _pull(SOURCE_WEIGHTS.parent.with_suffix(".dvc"))
    write_result(DATASET, _dataset(pinned, scan(root)))
    write_result(WEIGHTS, _weights(parameters.model))


def read_pin(pin: Path) -> dict[str, Any]:
    """md5, nfiles and size of the directory that the DVC file `pin` describes."""
    try:
        out = yaml.safe_load(pin.read_text(encoding="utf-8"))["outs"][0]
        return {"md5": out["md5"], "nfiles": out["nfiles"], "size": out["size"]}
    except FileNotFoundError:
        raise UserError(f"{pin} is not here.", f"Pin the directory: dvc add {pin.stem}.") from None
    except (KeyError, IndexError, TypeError, yaml.YAMLError):
        raise UserError(f"{pin} pins no directory.", f"Pin it again: dvc add {pin.stem}.") from None


def _pull(pin: Path) -> dict[str, Any]:
    """Bring what `pin` pins and return that pin.

    Without --force, which would delete files that the user has added.
    """
    pinned = read_pin(pin)
    command = [sys.executable, "-m", "dvc", "pull", str(pin)]
    pulled = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if pulled.returncode:
        raise UserError(
            f"Not what {pin} pins: {_complaint(pulled.stderr)}.",
            f"To use what is here, pin it: dvc add {pin.stem}. "
            f"To restore what was pinned: dvc checkout --force {pin}.",
        )
    return pinned


def _complaint(output: str) -> str:
    """The files that DVC names, by their paths from here, or whatever it says in the end."""
    here = f"{Path.cwd()}{os.sep}"
    named = [line.removeprefix(here) for line in output.splitlines() if line.startswith(here)]
    return ", ".join(named) or " ".join(output.split()).removeprefix("ERROR: ").rstrip(".")


def _dataset(pinned: dict[str, Any], images: DatasetFiles) -> Dataset:
    sizes = {split: len(files.paths) for split, files in images.splits.items()}
    return Dataset(**pinned, classes=len(images.classes), images=sizes)


def _weights(model: ModelParameters) -> Weights:
    """Their name, the digest of their file, because a file may change under its name, and the
    card of the source weights."""
    path = model.weights_file
    if path is None:
        return Weights(weights=model.weights)
    if not path.is_file():
        raise UserError(
            f"model.weights: there is no file {str(path)!r}.", "Name a file that is here."
        )
    card = read_json(path.with_suffix(".json")) if path == SOURCE_WEIGHTS else None
    return Weights(weights=model.weights, sha256=sha256(path), card=card)

"""The dataset stage: bring the pinned images and weights, refuse altered ones, record them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmark.audit.check import refuse_errors
from benchmark.common import git
from benchmark.common.files import read_json, sha256
from benchmark.common.parameters import SOURCE_WEIGHTS, ModelParameters, Parameters
from benchmark.common.results import DATASET, WEIGHTS, write_result
from benchmark.data.folder import DatasetFiles, scan
from benchmark.data.schema import PinnedImages, Weights
from benchmark.errors.user_error import UserError


def run(parameters: Parameters) -> None:
    """The stage: `dvc pull` images and weights; write reports/dataset.json and weights.json.

    Raises:
        UserError: they differ from their pins, cannot be fetched, or are not complete.
    """
    root = Path(parameters.data.root)
    _check_place(root)
    pin = root.with_name(f"{root.name}.dvc")
    pinned = _pull(pin)
    if parameters.model.weights_file == SOURCE_WEIGHTS:
        _pull(SOURCE_WEIGHTS.parent.with_suffix(".dvc"))
    refuse_errors(root, parameters.data.image_size)
    write_result(DATASET, _dataset(pinned, scan(root)))
    write_result(WEIGHTS, _weights(parameters.model))


def read_pin(pin: Path) -> dict[str, Any]:
    """md5, nfiles and size of the directory that the DVC file `pin` describes."""
    try:
        out = yaml.safe_load(pin.read_text(encoding="utf-8"))["outs"][0]
        return {"md5": out["md5"], "nfiles": out["nfiles"], "size": out["size"]}
    except FileNotFoundError:
        raise UserError(f"{pin} is not here.", f"Pin the directory: {_pinning(pin)}.") from None
    except (KeyError, IndexError, TypeError, yaml.YAMLError):
        raise UserError(f"{pin} pins no directory.", f"Pin it again: {_pinning(pin)}.") from None


def _check_place(root: Path) -> None:
    """DVC would check nothing there, and say nothing."""
    if not Path(os.path.abspath(root)).is_relative_to(Path.cwd()):
        raise UserError(
            f"data.root = {str(root)!r} is outside this repository, where DVC pins nothing.",
            "Move the images to a directory in here.",
        )


def _pinning(pin: Path) -> str:
    """How to pin what is there now."""
    directory = pin.with_suffix("")
    command = f"dvc add {directory}"
    if directory.is_symlink():
        return f"put the directory in the place of the link, then {command}"
    return command


def _pull(pin: Path) -> dict[str, Any]:
    """Bring what `pin` pins and return that pin.

    Without --force, which would delete files that the user has added.
    """
    pinned = read_pin(pin)
    command = [sys.executable, "-m", "dvc", "pull", str(pin)]
    pulled = subprocess.run(
        command, env=git.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if pulled.returncode:
        raise _not_pulled(pin, pulled.stderr)
    return pinned


def _not_pulled(pin: Path, output: str) -> UserError:
    """Why, by what DVC says in `output`."""
    if altered := _altered(output):
        return UserError(
            f"Not what {pin} pins: {', '.join(altered)}.",
            f"To use what is here, pin it: {_pinning(pin)}. "
            f"To restore what was pinned: .venv/bin/dvc checkout --force {pin}.",
        )
    if misspelt := _misspelt(pin.with_suffix("")):
        return UserError(f"{misspelt!r} is no UTF-8.", "Rename it: DVC takes no other names.")
    if "is not a git repository" in output:
        return UserError("This is no git repository.", "Clone it with git: DVC needs one.")
    return UserError(
        f"DVC could not bring what {pin} pins: {_error(output)}.", "See to that first."
    )


def _altered(output: str) -> list[str]:
    """The files that DVC names, by their paths from here."""
    here = f"{Path.cwd()}{os.sep}"
    return [line.removeprefix(here) for line in output.splitlines() if line.startswith(here)]


def _misspelt(root: Path) -> bytes | None:
    """The first path below `root` that is no UTF-8; DVC says which character, and not of which."""
    paths = (os.fsencode(path) for path in sorted(root.rglob("*")))
    return next((path for path in paths if not _is_utf8(path)), None)


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _error(output: str) -> str:
    """DVC's own reason, without its offer of help."""
    said = " ".join(output.split()).partition("Having any troubles?")[0]
    return said.removeprefix("ERROR: ").removeprefix("unexpected error - ").strip(" .")


def _dataset(pinned: dict[str, Any], images: DatasetFiles) -> PinnedImages:
    sizes = {split: len(files.paths) for split, files in images.splits.items()}
    return PinnedImages(**pinned, classes=len(images.classes), images=sizes)


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

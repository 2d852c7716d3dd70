"""The dataset stage: bring the pinned images, refuse altered ones, record what they are."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.folder import ImageFolder, scan
from benchmark.parameters import Parameters
from benchmark.results import DATASET


def run(parameters: Parameters) -> None:
    """The stage: `dvc pull` the dataset, check its folders and write reports/dataset.json.

    Raises:
        UserError: the images differ from their pin, cannot be had, or are not complete.
    """
    root = Path(parameters.data.root)
    pin = root.with_name(f"{root.name}.dvc")
    pinned = read_pin(pin)
    _pull(pin)
    write_json(DATASET, pinned | _counts(scan(root)))


def read_pin(pin: Path) -> dict[str, Any]:
    """md5, nfiles and size of the dataset that the DVC file `pin` describes."""
    try:
        out = yaml.safe_load(pin.read_text(encoding="utf-8"))["outs"][0]
        return {"md5": out["md5"], "nfiles": out["nfiles"], "size": out["size"]}
    except FileNotFoundError:
        raise UserError(f"{pin} is not here.", f"Pin the dataset: dvc add {pin.stem}.") from None
    except (KeyError, IndexError, TypeError, yaml.YAMLError):
        raise UserError(f"{pin} pins no directory.", f"Pin it again: dvc add {pin.stem}.") from None


def _pull(pin: Path) -> None:
    """Without --force: that would delete files which the user has added."""
    command = [sys.executable, "-m", "dvc", "pull", str(pin)]
    pulled = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if pulled.returncode:
        raise UserError(
            f"The images are not those that {pin} pins: {_complaint(pulled.stderr)}.",
            f"To use your own images, pin them: dvc add {pin.stem}. "
            f"To restore the pinned ones: dvc checkout --force {pin}.",
        )


def _complaint(output: str) -> str:
    """The files that DVC names, by their paths from here, or whatever it says in the end."""
    here = f"{Path.cwd()}{os.sep}"
    named = [line.removeprefix(here) for line in output.splitlines() if line.startswith(here)]
    return ", ".join(named) or " ".join(output.split()).removeprefix("ERROR: ").rstrip(".")


def _counts(images: ImageFolder) -> dict[str, Any]:
    sizes = {split: len(samples.paths) for split, samples in images.splits.items()}
    return {"classes": len(images.classes), "images": sizes}

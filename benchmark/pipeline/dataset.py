"""The dataset stage: fetch the pinned images and weights, check them, and record them."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.audit.check import refuse_errors
from benchmark.common import git
from benchmark.common.files import read_json, read_yaml, sha256
from benchmark.common.parameters import SOURCE_WEIGHTS, ModelParameters, Parameters
from benchmark.common.results import DATASET, WEIGHTS, write_result
from benchmark.data.folder import scan
from benchmark.data.schema import PinnedImages, Weights
from benchmark.errors.user_error import UserError

PULL = """
import sys
from dvc.cli import main
sys.exit(main(["pull", "--", *sys.argv[1:]]) or main(["cache", "dir"]))
"""
"""Program that runs `dvc pull` for its arguments, then prints the directory of DVC's cache."""


def run(parameters: Parameters) -> None:
    """Run `dvc pull` for images and weights; write reports/dataset.json and weights.json.

    Raises:
        UserError: images or weights differ from their pins or cannot be fetched, or the check of
            the dataset found an error.
    """
    root = Path(os.path.relpath(parameters.data.root))
    if root == Path() or root.parts[0] == "..":  # DVC would silently skip it
        raise UserError(
            f"data.root = {parameters.data.root!r} is not inside this repository, where DVC could "
            "pin it.",
            "Move the images to a directory inside it.",
        )
    if root.exists() and not root.is_dir():
        raise UserError(
            f"data.root = {parameters.data.root!r} is not a directory.",
            "Name the one with train, val and test in it.",
        )
    pin = Path(f"{root}.dvc")
    pins = [pin]
    if parameters.model.weights_file == SOURCE_WEIGHTS:
        pins.append(SOURCE_WEIGHTS.parent.with_suffix(".dvc"))
    pinned, *_ = map(read_pin, pins)
    files = _pinned_files(pin, pinned["md5"], _pull(pins))
    scale = refuse_errors(root, parameters.data.image_size, files, parameters.data.cache_gib)
    images = scan(root)
    sizes = {split: len(files.paths) for split, files in images.splits.items()}
    dataset = PinnedImages(**pinned, classes=len(images.classes), images=sizes, value_range=scale)
    write_result(DATASET, dataset)
    write_result(WEIGHTS, _weights(parameters.model))


def read_pin(pin: Path) -> dict[str, Any]:
    """Return `md5`, `nfiles` and `size` of the directory that the .dvc file `pin` describes.

    Raises:
        UserError: `pin` does not exist, has a merge conflict, or does not pin a directory.
    """
    try:
        out = read_yaml(pin)["outs"][0]
        return {"md5": out["md5"], "nfiles": out["nfiles"], "size": out["size"]}
    except FileNotFoundError:
        raise UserError(f"{pin} is not here.", f"Pin the directory: {_pinning(pin)}.") from None
    except (KeyError, IndexError, TypeError):
        raise UserError(
            f"{pin} does not pin a directory.", f"Pin it again: {_pinning(pin)}."
        ) from None


def _pinning(pin: Path) -> str:
    """Return the command with which the user pins the present content of the directory."""
    directory = pin.with_suffix("")
    command = f"dvc add {'-- ' * str(directory).startswith('-')}{shlex.quote(str(directory))}"
    link = "replace the link by the directory, then " if directory.is_symlink() else ""
    return f"{link}{command}"


def _pull(pins: Sequence[Path]) -> Path:
    """Run `dvc pull` for the .dvc files `pins`; return the directory of DVC's cache.

    One process does both, since DVC takes longer to load than to do either. `--force` is not used,
    since it would delete files that the user has added.

    Raises:
        UserError: `dvc pull` failed; the message names the first pin for which it did.
    """
    done = _run("-c", PULL, *map(str, pins))
    if done.returncode:
        for pin in pins:
            pulled = _run("-m", "dvc", "pull", "--", str(pin))
            if pulled.returncode:
                raise _pull_error(pin, pulled.stderr)
        done = _run("-m", "dvc", "cache", "dir")
    return Path(done.stdout.strip().rpartition("\n")[2])


def _pinned_files(pin: Path, md5: str, cache: Path) -> dict[str, str]:
    """Return the MD5 of each file in the pinned directory `md5`, by its path in it, as DVC's cache
    lists them. DVC takes a changed file of the same size, time and inode for unchanged.

    `cache` is the directory of DVC's cache.

    Raises:
        UserError: the list is not the pinned one. DVC checks out any list that the remote has; with
            `verify = true` it only leaves another one out of its cache.
    """
    path = cache / "files/md5" / md5[:2] / md5[2:]
    content = path.read_bytes() if path.is_file() else b""
    if not content and "not in cache" not in _run("-m", "dvc", "status", "--", str(pin)).stdout:
        return {}  # a pin by DVC 2, which kept its lists elsewhere
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        raise UserError(
            f"{pin} pins another list of files than the remote has.",
            "Restore the remote, for example by `git checkout .dvc/remote`. "
            f"Then run: .venv/bin/dvc pull --force {pin}.",
        )
    return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with `arguments`, where git's variables name no other repository."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=git.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


def _pull_error(pin: Path, output: str) -> UserError:
    """Return an error that explains the output of a failed `dvc pull`."""
    root = f"{Path.cwd()}{os.sep}"
    lines = output.splitlines()
    if altered := [line.removeprefix(root) for line in lines if line.startswith(root)]:
        return UserError(
            f"Not what {pin} pins: {', '.join(altered)}.",
            f"To use the present content, pin it: {_pinning(pin)}. "
            f"To restore the pinned content: .venv/bin/dvc checkout --force {pin}.",
        )
    if name := _first_name_that_is_not_utf8(pin.with_suffix("")):
        return UserError(f"{name!r} is not UTF-8.", "Rename it: DVC accepts only UTF-8.")
    if "is not a git repository" in output:
        return UserError("This is not a git repository.", "Clone it with git: DVC needs one.")
    if "missing-files" in output:  # the end of the address of DVC's explanation
        return UserError(
            f"DVC could not fetch what {pin} pins: it is missing in the cache and in the remote.",
            f"Where it was added, remove the lines remote and push from {pin}, if it has them. "
            f"Then run: dvc remote add --default NAME URL, dvc push.",
        )
    reason = " ".join(output.split()).partition("Having any troubles?")[0]
    reason = reason.removeprefix("ERROR: ").removeprefix("unexpected error - ").strip(" .")
    return UserError(f"DVC could not fetch what {pin} pins: {reason}.", "Fix that, then run again.")


def _first_name_that_is_not_utf8(root: Path) -> bytes | None:
    """Return the first path below `root` whose bytes are not UTF-8; None if there is none.

    DVC fails on such a path, and its message does not say which path it is.
    """
    for path in sorted(root.rglob("*")):
        try:
            os.fsencode(path).decode("utf-8")
        except UnicodeDecodeError:
            return os.fsencode(path)
    return None


def _weights(model: ModelParameters) -> Weights:
    """Describe the weights: name, sha256 of their file if they have one, and the source's card.

    Raises:
        UserError: the file does not exist.
    """
    path = model.weights_file
    if path is None:
        return Weights(weights=model.weights)
    if not path.is_file():
        raise UserError(f"model.weights: there is no file {str(path)!r}.", "Name an existing file.")
    card = read_json(path.with_suffix(".json")) if path == SOURCE_WEIGHTS else None
    return Weights(weights=model.weights, sha256=sha256(path), card=card)

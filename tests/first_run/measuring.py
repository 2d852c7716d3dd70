"""Run the steps of a first run in processes of their own: seconds, processor seconds, memory."""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import psutil
import yaml

STEPS = Path(__file__).with_name("steps.py")
HIDDEN = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Variables that would import this checkout's modules, or compile all modules in each process."""
SAMPLING = 0.05
"""Seconds between two samples of memory."""


@contextmanager
def empty_directory(checkout: Path, photographs: Path, image_size: int) -> Iterator[Path]:
    """Yield a directory with `checkout`'s params.yaml for `photographs`, and without a cache."""
    parameters = yaml.safe_load((checkout / "params.yaml").read_text())
    parameters["data"] |= {"root": str(photographs.resolve()), "image_size": image_size}
    with tempfile.TemporaryDirectory(prefix="first-run-") as name:
        Path(name, "params.yaml").write_text(yaml.safe_dump(parameters))
        yield Path(name)


def first_run(
    checkout: Path, directory: Path, photographs: Path, epochs: int = 0
) -> dict[str, float]:
    """Check `photographs`, then prepare a training in another process, in `directory`.

    Return seconds of each step, of all, and processor seconds of all processes. `epochs` is the
    number of epochs to take after that; 0 is the first batch only.
    """
    before, start = processor_seconds(), time.monotonic()
    _run(checkout, directory, "-m", "benchmark", "check", str(photographs.resolve()))
    checked = time.monotonic()
    marks = json.loads(_run(checkout, directory, "-P", str(STEPS), "ours", str(epochs)))
    used = processor_seconds() - before
    cached, first = marks["cache"], marks["first batch"]
    result = {
        "check": checked - start,
        "imports": marks["imports"] - checked,
        "cache": cached - marks["imports"],
        "first batch": first - cached,
        "all": first - start,
        "processor": used,
    }
    return result | epoch_seconds(marks, start)


def peer_run(checkout: Path, directory: Path, peer: str, epochs: int) -> dict[str, float]:
    """Take batches of a peer (see steps.py): seconds of all, and of each epoch."""
    start = time.monotonic()
    marks = json.loads(_run(checkout, directory, "-P", str(STEPS), peer, str(epochs)))
    return {"all": marks["all"] - marks["imports"]} | epoch_seconds(marks, start)


def epoch_seconds(marks: dict[str, float], start: float) -> dict[str, float]:
    """Return the seconds of the first epoch, with all since `start`, and of the second one."""
    if "epoch 2" not in marks:
        return {}
    return {"epoch 1": marks["epoch 1"] - start, "epoch 2": marks["epoch 2"] - marks["epoch 1"]}


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a list that gets the peak memory in bytes of all child processes together.

    The memory is the proportional set size (PSS): a page that n processes share counts 1/n in
    each. It is sampled, so it is for runs that are not timed.
    """
    samples, done = [0], threading.Event()
    thread = threading.Thread(target=_sample, args=(samples, done))
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
        samples[:] = [max(samples)]


def processor_seconds() -> float:
    """Return user and system seconds of all child processes that have ended, and of theirs."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _sample(samples: list[int], done: threading.Event) -> None:
    while not done.wait(SAMPLING):
        total = 0
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                total += child.memory_full_info().pss
        samples.append(total)


def _run(checkout: Path, directory: Path, *arguments: str) -> str:
    command = [str(checkout.resolve() / ".venv/bin/python"), *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in HIDDEN}
    result = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{result.stdout}{result.stderr}")
    return result.stdout

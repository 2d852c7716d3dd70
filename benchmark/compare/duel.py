"""`python -m benchmark duel BEFORE [AFTER]`: time two revisions on one machine, interleaved."""

from contextlib import ExitStack, closing
from math import ceil
from pathlib import Path
from typing import Any

from benchmark.common.files import read_yaml, write_json, write_text
from benchmark.common.parameters import DEFAULT_ARCHITECTURE, PARAMETERS_FILE, Parameters
from benchmark.common.progress import progress
from benchmark.common.temporary import reserve_space
from benchmark.compare.changes import Change
from benchmark.compare.rendering import as_json, as_markdown, as_text
from benchmark.compare.sides import revision_code
from benchmark.compare.verdict import (
    LOOKS,
    exit_status,
    judge_pairs,
    needs_more_pairs,
    pairs_needed,
)
from benchmark.errors.user_error import UserError
from benchmark.interleave.pair import time_alternating_blocks, trimmed_mean
from benchmark.interleave.training_process import TrainingProcess
from benchmark.machine import accelerators
from benchmark.machine.lock import measuring_lock
from benchmark.machine.processors import warn_if_busy
from benchmark.machine.sensors import warn_if_gpu_is_busy

TRAINED = ("data", "model", "train")
"""Sections of params.yaml that define the training."""


def run(
    names: tuple[str, str],
    accelerator: str,
    parameters: Parameters,
    limit: float,
    files: tuple[Path | None, Path | None] = (None, None),
) -> int:
    """Time both revisions, print the verdict and write it to `files`.

    Args:
        names: git revisions before and after; "." is the working tree.
        accelerator: name of the accelerator on which both train.
        parameters: used for both, as far as a revision has these parameters.
        limit: largest fraction of the rate that may be lost.
        files: Markdown and JSON to write.

    Returns:
        The exit status: 1 after a regression, 2 if undecided, else 0.

    Raises:
        UserError: a revision cannot be measured, or the accelerator is absent.
    """
    device = accelerators.find(accelerator)
    if not device.available:
        raise UserError(f"{device.label} is unavailable: {device.reason}.", "Name another.")
    with ExitStack() as stack:
        for file in filter(None, files):  # a file that cannot be written to is refused now
            stack.enter_context(reserve_space(file))
        stack.enter_context(measuring_lock())
        before, after = (stack.enter_context(revision_code(name)) for name in names)
        warn_if_busy()
        warn_if_gpu_is_busy(accelerator)
        ratios = measure(names, (before, after), accelerator, parameters, limit)
    change = change_of_pairs(accelerator, ratios, limit)
    status = exit_status([change.verdict], undecided_fails=True)
    print(as_text([change]))
    markdown, json = files
    if markdown:
        write_text(markdown, as_markdown(names, [change]))
    if json:
        write_json(json, as_json(names, change, status, len(ratios)))
    return status


def measure(
    names: tuple[str, str],
    codes: tuple[Path, Path],
    accelerator: str,
    parameters: Parameters,
    limit: float,
) -> list[float]:
    """Time pairs of processes until a look decides or is the last one; print missing parameters.

    Each pair is two new processes, one for each revision, whose blocks alternate. `codes` are the
    folders with the revisions' code; the other arguments are those of `run`. Return, for each pair,
    the rate after over the rate before.
    """
    ours = parameters.model_dump(mode="json")
    tasks = []
    for name, code in zip(names, codes, strict=True):
        theirs = read_yaml(code / PARAMETERS_FILE)
        if missing := missing_parameters(ours, theirs):
            print(f"{name} does not have {', '.join(missing)} of {PARAMETERS_FILE}.", flush=True)
        network = ours["model"]["architecture"]
        if "model.architecture" in missing and network != DEFAULT_ARCHITECTURE:
            raise UserError(
                f"{name} trains {DEFAULT_ARCHITECTURE}, not {network}: speeds of two networks have "
                "no ratio.",
                f"Set model.architecture to {DEFAULT_ARCHITECTURE}.",
            )
        tasks.append({"accelerator": accelerator, "parameters": task_parameters(ours, theirs)})
    ratios: list[float] = []
    with progress(LOOKS[-1], "starting two processes") as show:
        while needs_more_pairs(ratios, limit):
            with (
                closing(TrainingProcess(names[0], codes[0])) as before,
                closing(TrainingProcess(names[1], codes[1])) as after,
            ):
                before.warm_up(tasks[0])
                after.warm_up(tasks[1])
                step = min(before.step_seconds, after.step_seconds)
                steps = ceil(parameters.throughput.block_seconds / step)
                turns = time_alternating_blocks(
                    (before, after), (steps, steps), parameters.seed, len(ratios)
                )
                ratios.append(trimmed_mean([old.seconds / new.seconds for old, new in turns]))
            enough = len(ratios) > 1
            show(str(change_of_pairs(accelerator, ratios, limit)) if enough else "one pair so far")
    return ratios


def change_of_pairs(accelerator: str, ratios: list[float], limit: float) -> Change:
    """Judge the change of the Trainer's rate by `ratios`: after over before, one for each pair."""
    verdict = judge_pairs(ratios, limit)
    basis = f"{len(ratios)} pairs of processes"
    if verdict.kind == "equal":
        basis += f", within {100 * limit:g}%"
    elif verdict.kind == "undecided" and verdict.ratio:
        needed = pairs_needed(verdict.ratio, limit, len(ratios))
        basis += f"; if the estimate stays there, some {needed} pairs would decide"
    return Change(accelerator, "trainer", verdict, verdict.change, basis)


def task_parameters(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with which a revision's Trainer is timed.

    The sections in `TRAINED` and the seed have our values, where the revision has the key. The
    other sections stay the revision's, because their keys may differ. Both arguments are the
    content of a params.yaml: the working tree's, and the revision's.
    """
    trained = {
        section: {key: ours[section].get(key, value) for key, value in theirs[section].items()}
        for section in TRAINED
    }
    timed = theirs["throughput"] | {"modes": ["trainer"], "sweep": {}}
    return theirs | trained | {"seed": ours["seed"], "throughput": timed}


def missing_parameters(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """List our parameters in `TRAINED` that a revision does not have, as "section.key"."""
    return [
        f"{section}.{key}"
        for section in TRAINED
        for key in ours[section]
        if key not in theirs[section]
    ]

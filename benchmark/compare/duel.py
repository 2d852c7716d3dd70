"""`python -m benchmark duel BEFORE [AFTER]`: two revisions, timed in turns on one machine."""

from contextlib import ExitStack, closing
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from benchmark.common.files import write_json, write_text
from benchmark.common.parameters import PARAMETERS_FILE, Parameters
from benchmark.common.progress import progress
from benchmark.compare.duel_report import as_json, as_markdown
from benchmark.compare.duel_verdict import LOOKS, Verdict, decided, judge
from benchmark.compare.revision import code_of
from benchmark.errors.user_error import UserError
from benchmark.interleave.pair import sample, take_turns
from benchmark.interleave.training_process import Side
from benchmark.machine import accelerators
from benchmark.machine.lock import measuring_lock
from benchmark.machine.nvml import warn_if_used
from benchmark.machine.processors import warn_if_busy

TRAINED = ("data", "model", "train")
"""Sections of params.yaml that say what is trained."""


def run(
    names: tuple[str, str],
    accelerator: str,
    parameters: Parameters,
    limit: float,
    files: tuple[Path | None, Path | None] = (None, None),
) -> int:
    """Measure, print the verdict and write it to `files` (Markdown, JSON); an exit status.

    Raises:
        UserError: a revision cannot be measured, or the accelerator is absent.
    """
    found = accelerators.find(accelerator)
    if not found.available:
        raise UserError(f"{found.label} is unavailable: {found.reason}.", "Name another.")
    with ExitStack() as stack:
        stack.enter_context(measuring_lock())
        codes = tuple(stack.enter_context(code_of(name)) for name in names)
        warn_if_busy()
        warn_if_used(accelerator)
        verdict = measure(names, (codes[0], codes[1]), accelerator, parameters, limit)
    print(f"{accelerator}: {names[1]} against {names[0]}: {verdict}")
    markdown, json = files
    if markdown:
        write_text(markdown, as_markdown(names, accelerator, verdict))
    if json:
        write_json(json, as_json(names, accelerator, verdict))
    return verdict.status


def measure(
    names: tuple[str, str],
    codes: tuple[Path, Path],
    accelerator: str,
    parameters: Parameters,
    limit: float,
) -> Verdict:
    """Pairs of processes until a look decides, or the last look is over."""
    here = parameters.model_dump(mode="json")
    own = [yaml.safe_load((c / PARAMETERS_FILE).read_text(encoding="utf-8")) for c in codes]
    for name, content in zip(names, own, strict=True):
        if missing := _unknown(here, content):
            print(f"{name} does not know {', '.join(missing)} of {PARAMETERS_FILE}.", flush=True)
    tasks = [{"accelerator": accelerator, "parameters": _content(here, c)} for c in own]
    samples: list[float] = []
    with progress(LOOKS[-1], "starting two processes") as tell:
        while not decided(samples, limit):
            with (
                closing(Side(names[0], codes[0])) as before,
                closing(Side(names[1], codes[1])) as after,
            ):
                before.warm_up(tasks[0])
                after.warm_up(tasks[1])
                samples.append(_pair((before, after), parameters, len(samples)))
            tell(f"{judge(samples, limit)}" if samples[1:] else "one pair of processes so far")
    return judge(samples, limit)


def _content(here: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A revision's own parameters, with the values that params.yaml has here for what is trained;
    for the Trainer alone. How speed is measured and reported stays the revision's own: another
    revision's may have other keys."""
    trained = {
        section: {key: here[section].get(key, value) for key, value in own[section].items()}
        for section in TRAINED
    }
    timed = own["throughput"] | {"modes": ["trainer"], "sweep": {}}
    return own | trained | {"seed": here["seed"], "throughput": timed}


def _unknown(here: dict[str, Any], own: dict[str, Any]) -> list[str]:
    """Parameters of what is trained that a revision does not have."""
    return [
        f"{section}.{key}"
        for section in TRAINED
        for key in here[section]
        if key not in own[section]
    ]


def _pair(sides: tuple[Side, Side], parameters: Parameters, number: int) -> float:
    """One sample: rate after over rate before."""
    step = min(side.step_seconds for side in sides)
    steps = ceil(parameters.throughput.block_seconds / step)
    turns = take_turns(sides, (steps, steps), parameters.seed, number)
    return sample([before.seconds / after.seconds for before, after in turns])

"""`python -m benchmark duel BEFORE [AFTER]`: two revisions, timed in turns on one machine.

A pair of processes, one of each revision, gives one sample: a process keeps its memory layout for
life, and two processes of one revision differ more than two blocks of one process. Each pair is
new. Within a pair single blocks take turns, the first of each two drawn, while the other process
stands still.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from math import ceil
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmark.common.errors import UserError
from benchmark.common.files import write_json, write_text
from benchmark.common.parameters import Parameters
from benchmark.data.randomness import permutation
from benchmark.duel.report import as_json, as_markdown
from benchmark.duel.revision import code_of
from benchmark.duel.side import Side
from benchmark.duel.verdict import LOOKS, Verdict, decided, judge, sample
from benchmark.machine import accelerators
from benchmark.machine.lock import measuring_lock
from benchmark.machine.processors import warn_if_busy

DISCARDED, BLOCKS = 2, 15
"""Blocks of each side that a pair begins with and leaves out, and those that count."""


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
    task = {"accelerator": accelerator, "parameters": _content(parameters)}
    samples: list[float] = []
    with _progress() as tell:
        while not decided(samples, limit):
            with (
                closing(Side(names[0], codes[0])) as before,
                closing(Side(names[1], codes[1])) as after,
            ):
                before.warm_up(task)
                after.warm_up(task)
                samples.append(_pair((before, after), parameters, len(samples)))
            tell(f"{judge(samples, limit)}" if samples[1:] else "one pair of processes so far")
    return judge(samples, limit)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What to call after each pair: a bar and the interval so far; lines where no terminal is."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting two processes", total=LOOKS[-1])

        def tell(words: str) -> None:
            progress.update(bar, advance=1, description=words)
            if not console.is_terminal:
                print(words, flush=True)

        yield tell


def _content(parameters: Parameters) -> dict[str, Any]:
    """Those of params.yaml, for the Trainer alone."""
    content = parameters.model_dump(mode="json")
    content["throughput"] |= {"modes": ["trainer"], "sweep": {}}
    return content


def _pair(pair: tuple[Side, Side], parameters: Parameters, number: int) -> float:
    """One sample: rate after over rate before."""
    step = min(side.step_seconds for side in pair)
    steps = ceil(parameters.throughput.block_seconds / step)
    quotients = []
    for block in range(DISCARDED + BLOCKS):
        order = permutation(parameters.seed, number * (DISCARDED + BLOCKS) + block, 2)
        seconds = {int(place): pair[place].time(steps) for place in order}
        quotients.append(seconds[0] / seconds[1])
    return sample(quotients[DISCARDED:])

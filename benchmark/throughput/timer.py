"""Everything that one process measures: the modes, ready to run, and the clock."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytorch_lightning as pl
from torch import Tensor

from benchmark import accelerators, baseline, machine
from benchmark.datamodule import Batch, ImageDataModule
from benchmark.errors import UserError
from benchmark.folder import scan
from benchmark.modes import (
    Compute,
    Crew,
    Input,
    Lightning,
    Loop,
    Mode,
    Step,
    bare_trainer,
)
from benchmark.parameters import Parameters
from benchmark.train import fine_tuner, quieten

LEVEL_STEPS, LEVEL_RATIO = 2, 1.25
"""A warm-up is over when so many steps in succession differ by no more than this factor."""


@dataclass(frozen=True)
class Warmup:
    """How a mode became warm."""

    seconds: tuple[float, ...]
    """Of each step, synchronised."""
    compiled: tuple[bool, ...]
    """Whether a graph was compiled in the step."""

    @property
    def level(self) -> bool:
        """Whether the last steps compiled nothing and took about the same time."""
        last = self.seconds[-LEVEL_STEPS:]
        if len(last) < LEVEL_STEPS or any(self.compiled[-LEVEL_STEPS:]):
            return False
        return max(last) <= LEVEL_RATIO * min(last)

    @property
    def step_seconds(self) -> float:
        """Of a warm step: the mean of the later half, since loaders with workers come in bursts;
        steps that compiled are left out unless all did."""
        later = list(zip(self.seconds, self.compiled, strict=True))[len(self.seconds) // 2 :]
        clean = [seconds for seconds, compiled in later if not compiled]
        return fmean(clean or [seconds for seconds, _ in later])

    @property
    def compile_seconds(self) -> float:
        """What steps that compiled took beyond a warm one."""
        pairs = zip(self.seconds, self.compiled, strict=True)
        return sum(max(0.0, seconds - self.step_seconds) for seconds, compiled in pairs if compiled)


@dataclass(frozen=True)
class Block:
    """Consecutive steps of one mode between two readings of the clock."""

    seconds: float
    compilations: int


class Rig:
    """The modes of `parameters.throughput` on an accelerator, ready within a `with` block.

    Raises:
        UserError: on entry, as the DataModule and the model do.
    """

    first_step: Block
    """The Trainer's, known from entry on."""
    seconds_to_first_step: float
    """From the making of the model and the Trainer to the end of that step."""

    def __init__(self, accelerator: str, parameters: Parameters) -> None:
        self.accelerator = accelerator
        self.parameters = parameters
        self.modes: dict[str, Mode] = {}
        self._crews: dict[str, Crew] = {}

    def __enter__(self) -> "Rig":
        quieten()
        pl.seed_everything(self.parameters.seed, verbose=False)
        try:
            start = time.perf_counter()
            self.modes["trainer"] = self.lightning = self._start_fit()
            self.first_step = self.time("trainer", 1)
            self.seconds_to_first_step = time.perf_counter() - start
            self._add_others()
        except BaseException:
            self._dismiss()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._dismiss()
        if kind is None:
            self.lightning.stop()
        self.modes.clear()  # and with them their loaders, while those can still end in order

    def time(self, name: str, steps: int) -> Block:
        """Run `steps` of the mode `name` between two synchronised readings of the clock."""
        accelerators.synchronise(self.accelerator)
        compiled = accelerators.compilations(self.accelerator)
        with self._crews.setdefault(name, Crew()).at_work():
            start = time.perf_counter()
            self.modes[name].run(steps)
            accelerators.synchronise(self.accelerator)
            seconds = time.perf_counter() - start
        return Block(seconds, accelerators.compilations(self.accelerator) - compiled)

    def warm_up(self, name: str) -> Warmup:
        """Run steps of a mode until they are level, at most warmup_steps after those whose
        batches its loader's workers had ready."""
        warmup = Warmup((), ())
        prefetched = self._prefetched(name)
        for done in range(prefetched + self.parameters.throughput.warmup_steps):
            block = self.time(name, 1)
            warmup = Warmup(
                (*warmup.seconds, block.seconds), (*warmup.compiled, block.compilations > 0)
            )
            if done >= prefetched and warmup.level:
                break
        return warmup

    def _dismiss(self) -> None:
        """A process that stands still could not be ended, nor its parent."""
        for crew in self._crews.values():
            crew.dismiss()

    def _start_fit(self) -> Lightning:
        parameters = self.parameters
        self._epoch = steps_per_epoch(parameters)
        self.data = ImageDataModule(
            **parameters.data.model_dump(), seed=parameters.seed, pixel_batches=0
        )
        self.module = fine_tuner(parameters, len(self.data.classes))
        lightning = Lightning(self.module, self.data)
        with self._crews.setdefault("trainer", Crew()).at_work():
            lightning.start(
                bare_trainer(
                    self.accelerator,
                    parameters.train.precision,
                    lightning,
                    max_epochs=-1,
                    limit_train_batches=self._epoch,  # whole batches only
                )
            )
        return lightning

    def _add_others(self) -> None:
        """The modes beside the Trainer, with its network, optimizer and DataModule."""
        wanted, device = self.parameters.throughput.modes, accelerators.device(self.accelerator)
        step = Step(
            self.accelerator, self.module, self.lightning.optimizer, self.parameters.train.precision
        )
        if "compute" in wanted:
            moved = [tensor.to(device) for tensor in self._input().next()]
            self.modes["compute"] = Compute(step, *self._finish(*moved))
        if "loop" in wanted:
            self.modes["loop"] = Loop(step, self._input(), device, self._finish)
        if "input" in wanted:
            self.modes["input"] = self._input()
        if "baseline" in wanted:
            self.modes["baseline"] = Loop(step, self._imagefolder(), device, _as_it_is)
        if {"baseline", "input"} <= set(wanted):
            self.modes["baseline_input"] = self._imagefolder()

    def _finish(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        return self.data.on_after_batch_transfer(Batch(*tensors), 0)

    def _input(self) -> Input:
        return Input(self.data.train_dataloader(), self._epoch)

    def _imagefolder(self) -> Input:
        pin_memory = accelerators.device(self.accelerator).type == "cuda"
        loader = baseline.loader(self.parameters.data, pin_memory)
        return Input(loader, self._epoch)

    def _prefetched(self, name: str) -> int:
        """Batches that a mode's loader workers have ready: a head start that is to be used up."""
        workers = {"baseline": machine.cores(), "baseline_input": machine.cores(), "compute": 0}
        return 2 * workers.get(name, self.parameters.data.num_workers)


def steps_per_epoch(parameters: Parameters) -> int:
    """Whole batches in an epoch.

    Raises:
        UserError: there is none.
    """
    samples = len(scan(Path(parameters.data.root)).splits["train"].labels)
    if samples < parameters.data.batch_size:
        raise UserError(
            f"data.batch_size = {parameters.data.batch_size} is more than the {samples} images "
            "of the training split.",
            "Lower it.",
        )
    return samples // parameters.data.batch_size


def _as_it_is(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images, labels

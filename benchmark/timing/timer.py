"""ModeTimer: it builds the modes of one process, warms them up and times their blocks."""

import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from statistics import fmean

import pytorch_lightning as pl
from torch import Tensor

from benchmark.common.modes import MODES, PEERS
from benchmark.common.open_files import raise_limit
from benchmark.common.parameters import ONE_DEVICE, Parameters, TrainerParameters
from benchmark.data.datamodule import Batch
from benchmark.data.folder import scan
from benchmark.distributed import process_group
from benchmark.machine import accelerators, processors
from benchmark.timing import baseline, peers
from benchmark.timing.coroutine import Coroutine
from benchmark.timing.loader_workers import LoaderWorkers
from benchmark.timing.modes import Compute, LoaderOnly, Loop, Mode, Nondeterministic, TrainingStep
from benchmark.timing.schema import Block
from benchmark.timing.trainer import PausableFit, bare_trainer
from benchmark.training.fit import data_module, fine_tuner, norm_layer, silence_lightning
from benchmark.training.inputs import check, check_batches

LEAST_SECONDS = {"cuda": 2.0}
"""Shortest warm-up of the Trainer by type of device: a GPU's clock and heat must be steady."""
FILES_PER_WORKER = 14
"""Most open files that a worker of the DataModule takes in this process; a batch has 5 tensors."""
STEADY_STEPS, STEADY_RATIO = 2, 1.25
"""A warm-up ends when STEADY_STEPS successive steps differ by at most the factor STEADY_RATIO."""


@dataclass(frozen=True)
class Warmup:
    """The steps of a mode's warm-up."""

    seconds: tuple[float, ...]
    """Wall time of each step, synchronised."""
    compiled: tuple[bool, ...]
    """For each step, whether it compiled a graph."""

    @property
    def steady(self) -> bool:
        """Whether the last steps compiled nothing and took about the same time."""
        last = self.seconds[-STEADY_STEPS:]
        if len(last) < STEADY_STEPS or any(self.compiled[-STEADY_STEPS:]):
            return False
        return max(last) <= STEADY_RATIO * min(last)

    @property
    def step_seconds(self) -> float:
        """Seconds of a warm step: the mean of the later half of the steps.

        It is a mean because prefetched batches come in bursts. Steps that compiled a graph are left
        out, unless all of them did.
        """
        later = list(zip(self.seconds, self.compiled, strict=True))[len(self.seconds) // 2 :]
        clean = [seconds for seconds, compiled in later if not compiled]
        return fmean(clean or [seconds for seconds, _ in later])

    @property
    def compile_seconds(self) -> float:
        """Seconds of the steps that compiled a graph, minus the seconds of as many warm steps."""
        pairs = zip(self.seconds, self.compiled, strict=True)
        return sum(max(0.0, seconds - self.step_seconds) for seconds, compiled in pairs if compiled)


class ModeTimer:
    """Context manager that builds the modes of a process and times blocks of their steps.

    On entry it seeds all generators and starts the modes, their loaders and one step of the
    Trainer. On exit it ends the loops and loader processes.

    Args:
        accelerator: name of the accelerator, as in params.yaml.
        parameters: what to train; `throughput.modes` are started, except peers.
        trainer: number of ranks, if this process is one of several of a process group. Then
            `throughput.modes` must be the Trainer alone; the slowest rank's time counts.
        peer: the peer to start instead of `throughput.modes`.
        epochs_per_pass: number of epochs whose samples follow one another before the Trainer
            changes epochs.

    Raises:
        UserError: on entry, if the accelerator, the DataModule, the model or the peer refuses the
            parameters.
    """

    first_step: Block
    """The Trainer's first step; set on entry, unless there is a peer."""
    seconds_to_first_step: float
    """Seconds from the start of making the model to the end of `first_step`."""

    def __init__(
        self,
        accelerator: str,
        parameters: Parameters,
        trainer: TrainerParameters = ONE_DEVICE,
        peer: str | None = None,
        epochs_per_pass: int = 1,
    ) -> None:
        self.accelerator = accelerator
        self.parameters = parameters
        self._trainer = trainer
        self._peer = peer
        self._epochs_per_pass = epochs_per_pass
        self.modes: dict[str, Mode] = {}
        self._workers: dict[str, LoaderWorkers] = defaultdict(LoaderWorkers)

    def __enter__(self) -> "ModeTimer":
        silence_lightning()
        pl.seed_everything(self.parameters.seed, verbose=False)
        raise_limit()
        try:
            check(self.accelerator, self.parameters)
            if self._peer:
                self.modes[self._peer] = peers.start(
                    self._peer, self.accelerator, self.parameters, self._image_workers
                )
            else:
                self._start_modes()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._release()
        if kind is None:
            for mode in self.modes.values():
                if isinstance(mode, PausableFit | Coroutine):
                    mode.stop()
        self.modes.clear()  # and with them their loaders, while those can still end in order

    @property
    def names(self) -> list[str]:
        """Names of the modes; those that only load come first."""
        return sorted(self.modes, key=lambda name: MODES[name].trains)

    def time(self, name: str, steps: int) -> Block:
        """Run `steps` steps of the mode `name` and return their time, read after synchronising.

        The mode's loader processes run only within this block. With several ranks all must call
        this; the largest time and number of compilations are returned.
        """
        accelerators.synchronise(self.accelerator)
        compiled = accelerators.count_compilations(self.accelerator)
        with self._workers[name].running():
            process_group.barrier()
            start = time.perf_counter()
            self.modes[name].run(steps)
            accelerators.synchronise(self.accelerator)
            seconds = time.perf_counter() - start
        compilations = accelerators.count_compilations(self.accelerator) - compiled
        return Block(
            seconds=max(process_group.all_gather(seconds)),
            compilations=max(process_group.all_gather(compilations)),
        )

    def warm_up(self, name: str) -> Warmup:
        """Run steps of the mode `name` until step times are steady, and return these steps.

        First the batches are used up that loader processes had prefetched; then at most
        `throughput.warmup_steps` steps run. The Trainer's warm-up lasts at least LEAST_SECONDS.
        """
        prefetched = 2 * self.loader_processes(name)
        warmup, most = Warmup((), ()), prefetched + self.parameters.throughput.warmup_steps
        kind = accelerators.device(self.accelerator).type
        least = LEAST_SECONDS.get(kind, 0.0) if name == "trainer" else 0.0
        for done in count(1):
            block = self.time(name, 1)
            warmup = Warmup(
                (*warmup.seconds, block.seconds), (*warmup.compiled, block.compilations > 0)
            )
            over = done >= most or (done > prefetched and warmup.steady)
            if over and sum(warmup.seconds) >= least:
                break
        return warmup

    def loader_processes(self, name: str) -> int:
        """Return the number of loader processes of the mode `name`."""
        match MODES[name].loader:
            case "data":
                return self.parameters.data.num_workers
            case "cores":
                return self._image_workers
        return 0

    @property
    def capped_workers(self) -> int | None:
        """Workers of each ImageFolder loader if open files allow few; None if one per processor."""
        if not {"baseline", "baseline_input"} & {*self.modes}:
            return None
        workers = self._image_workers
        return workers if workers < processors.processor_count() else None

    @cached_property
    def _image_workers(self) -> int:
        """Number of workers of each loader of the kind "cores": one per processor.

        If the limit of open files is too low, it is smaller, and a warning is printed.
        """
        loaders = [MODES[name].loader for name in {*self.modes, *self._wanted}]
        reserved = FILES_PER_WORKER * self.parameters.data.num_workers * loaders.count("data")
        return baseline.worker_count(loaders.count("cores"), reserved)

    @property
    def _wanted(self) -> list[str]:
        """Names of the modes to start, except the Trainer."""
        if self._peer:
            return [self._peer]
        selected = {*self.parameters.throughput.modes} - {"trainer", *PEERS}
        return [
            name
            for name, mode in MODES.items()
            if (mode.needs <= selected if mode.needs else name in selected)
        ]

    def _start_modes(self) -> None:
        start = time.perf_counter()
        self.modes["trainer"] = self.lightning = self._start_fit()
        started = time.perf_counter() - start
        for name in self._wanted:
            self.modes[name] = self._make(name)
        # A loader process is forked from this one. After a fork the next write to each shared page
        # is slow: a loader that started later would slow down a complete training step.
        for name, mode in self.modes.items():
            if isinstance(mode, LoaderOnly | Loop):
                with self._workers[name].running():
                    mode.start()
        self.first_step = self.time("trainer", 1)
        self.seconds_to_first_step = started + self.first_step.seconds

    def _start_fit(self) -> PausableFit:
        parameters = self.parameters
        self._epoch = steps_per_epoch(parameters, self._trainer.processes, self._epochs_per_pass)
        self.data = data_module(parameters, digests=False)
        self.data.epochs_per_pass = self._epochs_per_pass
        self.module = fine_tuner(
            parameters, len(self.data.classes), norm_layer(self.accelerator, self._trainer)
        )
        lightning = PausableFit(self.module, self.data)
        with self._workers["trainer"].running():
            lightning.start(
                bare_trainer(
                    self.accelerator,
                    parameters.train.precision,
                    lightning,
                    self._trainer,
                    deterministic=parameters.throughput.deterministic,
                    max_epochs=-1,
                    limit_train_batches=self._epoch,  # full batches only
                )
            )
        return lightning

    def _make(self, name: str) -> Mode:
        """Return the mode `name`; it shares the Trainer's network, optimizer and DataModule."""
        parameters, device = self.parameters, accelerators.device(self.accelerator)
        step = TrainingStep(
            self.accelerator, self.module, self.lightning.optimizer, parameters.train.precision
        )
        match name:
            case "compute":
                return Compute(step, *self._resident_batch)
            case "nondeterministic":
                return Nondeterministic(Compute(step, *self._resident_batch))
            case "loop" | "input":
                source = LoaderOnly(self.data.train_dataloader(), self._epoch)
                return source if name == "input" else Loop(step, source, device, self._finish)
        loader = baseline.loader(parameters.data, device.type == "cuda", self._image_workers)
        source = LoaderOnly(loader, self._epoch)
        return source if name == "baseline_input" else Loop(step, source, device)

    def _release(self) -> None:
        """Resume paused loader processes, else neither they nor this process could end."""
        for workers in self._workers.values():
            workers.release()

    @cached_property
    def _resident_batch(self) -> tuple[Tensor, Tensor]:
        device = accelerators.device(self.accelerator)
        source = LoaderOnly(self.data.train_dataloader(), self._epoch)
        return self._finish(*(tensor.to(device) for tensor in source.next()))

    def _finish(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        return self.data.on_after_batch_transfer(Batch(*tensors), 0)


def steps_per_epoch(parameters: Parameters, devices: int = 1, epochs: int = 1) -> int:
    """Return the number of steps in `epochs` epochs of full batches, one batch for each device.

    Raises:
        UserError: the training split is smaller than a batch of all devices, or batch norm cannot
            train with this batch and image size.
    """
    images = epochs * len(scan(Path(parameters.data.root)).splits["train"].labels)
    check_batches(parameters, images, devices, drop_last=True)
    return images // (parameters.data.batch_size * devices)

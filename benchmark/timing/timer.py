"""The modes of one measuring process, ready to run, and the clock that times them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import fmean

import pytorch_lightning as pl
from torch import Tensor

from benchmark.common.parameters import ONE_DEVICE, PEERS, Parameters, TrainerParameters
from benchmark.data.datamodule import Batch
from benchmark.data.folder import scan
from benchmark.distributed import process_group
from benchmark.errors.training_errors import first_line
from benchmark.machine import accelerators, processors
from benchmark.timing import baseline, peers
from benchmark.timing.loader_workers import LoaderWorkers
from benchmark.timing.modes import Compute, LoaderOnly, Loop, Mode, Nondeterministic, TrainingStep
from benchmark.timing.schema import Block, PeerStatus
from benchmark.timing.trainer import PausableFit, bare_trainer
from benchmark.training.fit import data_module, fine_tuner, norm_layer, silence_lightning
from benchmark.training.inputs import check_batches

LEAST_SECONDS = {"cuda": 2.0}
"""Of the Trainer's warm-up, by kind of device: a GPU's clock and heat take their time."""
STEADY_STEPS, STEADY_RATIO = 2, 1.25
"""A warm-up is over when so many steps in succession differ by no more than this factor."""


@dataclass(frozen=True)
class Warmup:
    """How a mode became warm."""

    seconds: tuple[float, ...]
    """Of each step, synchronised."""
    compiled: tuple[bool, ...]
    """Whether a graph was compiled in the step."""

    @property
    def steady(self) -> bool:
        """Whether the last steps compiled nothing and took about the same time."""
        last = self.seconds[-STEADY_STEPS:]
        if len(last) < STEADY_STEPS or any(self.compiled[-STEADY_STEPS:]):
            return False
        return max(last) <= STEADY_RATIO * min(last)

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


class ModeTimer:
    """The modes of `parameters.throughput` on an accelerator, ready within a `with` block.

    They run on one device unless `trainer` says that this process is one of several, which have
    joined; then only the Trainer is timed, and by the slowest.

    Raises:
        UserError: on entry, as the DataModule and the model do.
    """

    first_step: Block
    """The Trainer's, known from entry on."""
    seconds_to_first_step: float
    """What making the model and the Trainer took, and that step."""

    def __init__(
        self, accelerator: str, parameters: Parameters, trainer: TrainerParameters = ONE_DEVICE
    ) -> None:
        self.accelerator = accelerator
        self.parameters = parameters
        self._trainer = trainer
        self.modes: dict[str, Mode] = {}
        self.peers: dict[str, PeerStatus] = {}
        """Other software that was asked for; those of it that train are modes too."""
        self._workers: dict[str, LoaderWorkers] = {}

    def __enter__(self) -> "ModeTimer":
        silence_lightning()
        pl.seed_everything(self.parameters.seed, verbose=False)
        try:
            start = time.perf_counter()
            self.modes["trainer"] = self.lightning = self._start_fit()
            started = time.perf_counter() - start
            self._add_others()
            self._start_loaders()
            self._start_peers()
            self.first_step = self.time("trainer", 1)
            self.seconds_to_first_step = started + self.first_step.seconds
            self._try_peers()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._release()
        if kind is None:
            self.lightning.stop()
            for mode in self.modes.values():
                if isinstance(mode, peers.Peer):
                    mode.stop()
        self.modes.clear()  # and with them their loaders, while those can still end in order

    @property
    def names(self) -> list[str]:
        """The modes, those that train after those that load alone."""
        return sorted(self.modes, key=lambda name: not name.endswith("input"))

    def time(self, name: str, steps: int) -> Block:
        """Run `steps` of the mode `name` between two synchronised readings of the clock."""
        accelerators.synchronise(self.accelerator)
        compiled = accelerators.compilations(self.accelerator)
        with self._workers.setdefault(name, LoaderWorkers()).running():
            process_group.barrier()
            start = time.perf_counter()
            self.modes[name].run(steps)
            accelerators.synchronise(self.accelerator)
            seconds = time.perf_counter() - start
        compilations = accelerators.compilations(self.accelerator) - compiled
        return Block(
            seconds=max(process_group.all_gather(seconds)),
            compilations=max(process_group.all_gather(compilations)),
        )

    def warm_up(self, name: str) -> Warmup:
        """Run steps of a mode until they are steady, at most warmup_steps after those whose
        batches its loader's workers had ready; the Trainer's until the device's clock is up."""
        warmup, prefetched = Warmup((), ()), self._prefetched(name)
        most = prefetched + self.parameters.throughput.warmup_steps
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

    def _start_loaders(self) -> None:
        """Before anything is trained. A worker is a copy of this process, and the next write to
        each page that they share is slow: a whole training step, if the worker starts later."""
        for name, mode in self.modes.items():
            if isinstance(mode, LoaderOnly | Loop):
                with self._workers.setdefault(name, LoaderWorkers()).running():
                    mode.start()

    def _start_peers(self) -> None:
        """Last, so that what they load is no part of the others' workers."""
        for name in [mode for mode in self.parameters.throughput.modes if mode in PEERS]:
            self.peers[name] = PeerStatus()
            with self._refusals(name), self._workers.setdefault(name, LoaderWorkers()).running():
                self.peers[name] = PeerStatus(versions=peers.versions(name))
                self.modes[name] = peers.start(
                    name, self.accelerator, self.parameters, len(self.data.classes)
                )

    def _try_peers(self) -> None:
        """Train a step with each: what does not work is known before anything is measured."""
        for name in [each for each in self.peers if each in self.modes]:
            with self._refusals(name):
                self.time(name, 1)

    @contextmanager
    def _refusals(self, name: str) -> Iterator[None]:
        """Whatever goes wrong with a peer is its own affair: it is left out, with the reason."""
        try:
            yield
        except Exception as error:
            self.peers[name] = self.peers[name].model_copy(update={"reason": first_line(error)})
            self._workers.pop(name).release()
            self.modes.pop(name, None)

    def _release(self) -> None:
        """A process that stands still could not be ended, nor its parent."""
        for workers in self._workers.values():
            workers.release()

    def _start_fit(self) -> PausableFit:
        parameters = self.parameters
        self._epoch = steps_per_epoch(parameters, self._trainer.processes)
        self.data = data_module(parameters, digests=False)
        self.module = fine_tuner(
            parameters, len(self.data.classes), norm_layer(self.accelerator, self._trainer)
        )
        lightning = PausableFit(self.module, self.data)
        with self._workers.setdefault("trainer", LoaderWorkers()).running():
            lightning.start(
                bare_trainer(
                    self.accelerator,
                    parameters.train.precision,
                    lightning,
                    self._trainer,
                    deterministic=parameters.throughput.deterministic,
                    max_epochs=-1,
                    limit_train_batches=self._epoch,  # whole batches only
                )
            )
        return lightning

    def _add_others(self) -> None:
        """The modes beside the Trainer, with its network, optimizer and DataModule."""
        wanted, device = self.parameters.throughput.modes, accelerators.device(self.accelerator)
        step = TrainingStep(
            self.accelerator, self.module, self.lightning.optimizer, self.parameters.train.precision
        )
        if {"compute", "nondeterministic"} & set(wanted):
            moved = [tensor.to(device) for tensor in self._input().next()]
            resident = Compute(step, *self._finish(*moved))
            both: dict[str, Mode] = {
                "compute": resident,
                "nondeterministic": Nondeterministic(resident),
            }
            self.modes |= {name: mode for name, mode in both.items() if name in wanted}
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

    def _input(self) -> LoaderOnly:
        return LoaderOnly(self.data.train_dataloader(), self._epoch)

    def _imagefolder(self) -> LoaderOnly:
        pin_memory = accelerators.device(self.accelerator).type == "cuda"
        loader = baseline.loader(self.parameters.data, pin_memory)
        return LoaderOnly(loader, self._epoch)

    def _prefetched(self, name: str) -> int:
        """Batches that a mode's loader workers have ready: a head start that is to be used up."""
        own = dict.fromkeys(("baseline", "baseline_input", *PEERS), processors.cores())
        workers = {**own, "compute": 0, "nondeterministic": 0}
        return 2 * workers.get(name, self.parameters.data.num_workers)


def steps_per_epoch(parameters: Parameters, devices: int = 1) -> int:
    """Return the number of steps in an epoch of full batches, one batch for each device.

    Raises:
        UserError: as `check_batches`.
    """
    images = len(scan(Path(parameters.data.root)).splits["train"].labels)
    check_batches(parameters, images, devices, drop_last=True)
    return images // (parameters.data.batch_size * devices)


def _as_it_is(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images, labels

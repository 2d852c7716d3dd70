"""Scenarios: a DataModule under a real Trainer on the CPU, and what is observed there."""

import contextlib
import functools
import importlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import util
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.seed import isolate_rng

from datamodule_conformance import generators, loaders
from datamodule_conformance.call_log import CallLog, has, with_call_log
from datamodule_conformance.listing import relisted
from datamodule_conformance.packages import package_of
from datamodule_conformance.probe import Step, probe_for
from datamodule_conformance.source import DataModuleSource
from datamodule_conformance.time_limit import time_limit

EPOCHS = 2
LOADERS = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}
TIMEOUT = 300.0
"""Seconds after which a run counts as hanging."""
LONGEST = 70
"""Bytes of a temporary directory in which a socket of multiprocessing's still has a path that fits;
a cluster's may be longer, and workers would then wait for ever."""
SEEDING = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
STATES = ("one state", "one state", "another state")
"""Of the global generators, from which one sample is read."""


@dataclass(frozen=True)
class Scenario:
    """One way of running a DataModule; the defaults are the plain fit that others are held to."""

    stages: tuple[str, ...] = ("fit",)
    """Of fit, validate, test, predict, and: "refit", a fit with another Trainer; "fail", a fit
    whose first step raises; "first", a fit of one epoch that saves a checkpoint; "resume", a fit
    that goes on from `checkpoint`."""
    checkpoint: bytes = b""
    seed: int = 1
    """Of the process's generators, and the DataModule's where it takes one."""
    workers: int = 0
    """Of the training loader; the DataModule's own `num_workers` is as many, unless it is 0."""
    prepared: int = 0
    """How often other objects ran prepare_data before."""
    prepares: bool = True
    """False: as on a rank that never runs prepare_data."""
    draws: bool = False
    """Whether the model draws from the global generators in each step."""
    ranks: int = 1
    steady: bool = False
    """Whether what hooks, loaders and datasets draw from the global generators is the same wherever
    these are: what differs still has another cause."""
    still: bool = False
    """Whether a loader draws nothing before its first batch."""
    relisted: bool = False
    """Whether folders list their files in another order."""
    reads: bool = False
    """Whether all samples are read once more at the end, one by one."""
    trainer: tuple[tuple[str, Any], ...] = ()
    """Options of the Trainer."""


@dataclass
class Observation:
    """What a scenario shows."""

    passes: dict[str, list[list[Step]]]
    """By stage: each epoch of training, or each pass over evaluation data, step by step."""
    log: CallLog = field(default_factory=CallLog)
    sizes: dict[str, int] = field(default_factory=dict)
    """By stage: samples of the datasets behind its loaders, where they have a length."""
    order: list[Any] | None = None
    """One more epoch's order by the training loader's sampler, if it has one."""
    reads: tuple[str | None, ...] = ()
    """One training sample, read from each of STATES, where a dataset has samples."""
    samples: dict[str, list[str]] = field(default_factory=dict)
    """By stage: its samples, each read while the generators start from the same state."""
    workers: bool = True
    """Whether the number of worker processes could be chosen."""
    datasets: dict[str, set[str]] = field(default_factory=dict)
    """By stage: the classes of those behind its loaders."""
    own_workers: int = 0
    """The most that a training loader asks for by itself."""
    indexed: bool = True
    """Whether training asks a dataset for one sample after another."""
    checkpoint: bytes = b""

    @property
    def train(self) -> list[list[Step]]:
        """The epochs of training."""
        return self.passes["fit"]

    @property
    def repetitions(self) -> int:
        """How many samples of `order` were there before."""
        order = self.order or []
        return len(order) - len(set(map(repr, order)))

    def cut(self, stage: str) -> bool:
        """Whether a pass of `stage` was ended where it might have gone on for ever."""
        return any(len(steps) >= loaders.MOST_BATCHES for steps in self.passes.get(stage, []))


class _ScenarioRun:
    """A scenario in this process."""

    def __init__(self, source: DataModuleSource, scenario: Scenario, folder: str) -> None:
        self.source = source
        self.scenario = scenario
        self.folder = Path(folder)
        self.log = CallLog(steady=f"seed {scenario.seed}" if scenario.steady else "")
        self.observation = Observation({}, self.log)
        self.package: ModuleType = pl
        """Lightning's, of which the DataModule is."""
        self.shown: dict[str, Any] = {}
        """By stage: the loaders as Lightning used them."""
        self.data = self._watched()
        self.probe = probe_for(self.package, draws=scenario.draws)
        self.trainer = self._trainer()
        self.seeded = generators.states()

    def go(self) -> Observation:
        for stage in self.scenario.stages:
            getattr(self, stage)()
        self.observation.passes = self.probe.passes
        self._look_again()
        return self.observation

    def fit(self, **options: Any) -> None:
        generators.restore(self.seeded)  # whatever ran before: as the process was seeded
        self.trainer.fit(self.probe, datamodule=self.data, **options)
        self.shown |= {"fit": self.trainer.train_dataloader}
        self.shown |= {"validate": self.trainer.val_dataloaders}

    def refit(self) -> None:
        self.trainer = self._trainer()
        self.fit()

    def fail(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._trainer().fit(probe_for(self.package, fails=True), datamodule=self.data)

    def first(self) -> None:
        saved = self.folder / "saved.ckpt"
        self.trainer = self._trainer(max_epochs=1)
        self.fit()
        self.trainer.save_checkpoint(saved)
        self.observation.checkpoint = saved.read_bytes()

    def resume(self) -> None:
        saved = self.folder / "saved.ckpt"
        saved.write_bytes(self.scenario.checkpoint)
        # Where state that is not plain is the one thing wrong, a run resumes that trusts the file.
        trust = {"weights_only": False} if self.scenario.steady else {}
        self.fit(ckpt_path=saved, **trust)

    def validate(self) -> None:
        self.trainer.validate(self.probe, datamodule=self.data, verbose=False)
        self.shown |= {"validate": self.trainer.val_dataloaders}

    def test(self) -> None:
        self.trainer.test(self.probe, datamodule=self.data, verbose=False)
        self.shown |= {"test": self.trainer.test_dataloaders}

    def predict(self) -> None:
        self.trainer.predict(self.probe, datamodule=self.data)
        self.shown |= {"predict": self.trainer.predict_dataloaders}

    def _watched(self) -> LightningDataModule:
        seeded = generators.states()
        for _ in range(self.scenario.prepared):
            other = self._made()
            other.trainer = self._trainer()  # as Lightning has it by then
            other.prepare_data()
            generators.restore(seeded)  # another process did it
        data = self._made()
        data.__class__ = with_call_log(type(data), self.log)
        if not self.scenario.prepares:
            data.prepare_data = functools.partial(  # type: ignore[method-assign]
                self._unprepared, data.prepare_data
            )
        for stage, name in LOADERS.items():
            hook = f"{name}_dataloader"
            if has(data, hook):
                made = getattr(data, hook)
                if hook in vars(data):  # as from_datasets has it: its class's would be logged
                    made = functools.partial(self.log.called, hook, made)
                setattr(data, hook, functools.partial(self._loaders, stage, made))
        return data

    def _unprepared(self, prepare_data: Callable[[], None]) -> None:
        """Lightning does not prepare; what a hook itself does is another rule's."""
        if self.log.is_inside:
            prepare_data()

    def _made(self) -> LightningDataModule:
        made = self.log.watch("__init__", lambda: self.source.make(self.scenario.seed))
        self.package = package_of(type(made)) or pl
        if self.scenario.workers:  # none may contradict what else it asks of its loaders
            _choose_workers(made, self.scenario.workers)
        return made

    def _loaders(self, stage: str, hook: Callable[[], Any]) -> Any:
        """What a loader hook returns, changed as the scenario has it."""
        made = hook()
        if stage == "fit":
            made = self._with_workers(made)
            self.observation.indexed = loaders.all_indexed(made)
        kinds = map(type, loaders.datasets(made))
        self.observation.datasets[stage] = {f"{k.__module__}.{k.__qualname__}" for k in kinds}
        if self.scenario.steady and stage != "predict":  # there Lightning makes it once more
            loaders.steady(made, self.log.steady, lambda: self.trainer.current_epoch)
        self.probe.given[stage] = loaders.note_samples(made, side_by_side=stage == "fit")
        loaders.bound(made)
        if self.scenario.still:
            loaders.still(made)
        return made

    def _with_workers(self, made: Any) -> Any:
        """What is no DataLoader has as many workers as the DataModule's `num_workers` says."""
        count, data = self.scenario.workers, self.data
        asked = [loader.num_workers for loader in loaders.plain(made)]
        self.observation.own_workers = max(asked, default=0)
        if not loaders.all_plain(made):
            self.observation.workers = _choose_workers(data, count)
            made = super(type(data), data).train_dataloader() if self.observation.workers else made
        loaders.set_workers(made, count)
        return made

    def _look_again(self) -> None:
        """What the loaders have to say when all is over."""
        for stage, shown in self.shown.items():
            size = loaders.size(shown)
            self.observation.sizes |= {} if size is None else {stage: size}
        train = self.shown.get("fit")
        with contextlib.suppress(Exception):  # teardown may have closed what samples come from
            self.observation.order = loaders.order(train)
            name = (self.observation.order or [])[0]
            reads = tuple(loaders.read(train, name, state) for state in STATES)
            self.observation.reads = reads
        for stage, shown in self.shown.items() if self.scenario.reads else ():
            with contextlib.suppress(Exception):
                self.observation.samples |= {stage: loaders.all_samples(shown)}

    def _trainer(self, **options: Any) -> pl.Trainer:
        plain: dict[str, Any] = {
            "max_epochs": EPOCHS, "num_sanity_val_steps": 0, "logger": False,
            "enable_checkpointing": False, "enable_progress_bar": False,
            "enable_model_summary": False, "default_root_dir": str(self.folder),
            "devices": self.scenario.ranks,
            "strategy": "ddp" if self.scenario.ranks > 1 else "auto",
        }  # fmt: skip
        return trainer(self.package, **plain | dict(self.scenario.trainer) | options)


def _choose_workers(data: LightningDataModule, count: int) -> bool:
    """Whether a DataModule has a number of workers of its own, which is then `count`."""
    own: list[Any] = [one for one in (data, data.hparams) if hasattr(one, "num_workers")]
    for one in own:
        try:
            one.num_workers = count
        except AttributeError:  # a property
            return False
    return bool(own)


def trainer(package: ModuleType = pl, **options: Any) -> pl.Trainer:
    """A Trainer on the CPU whose processes are those that a scenario has: a launcher (SLURM,
    torchrun) may have started others in the same job."""
    environments = importlib.import_module(f"{package.__name__}.plugins.environments")
    alone = environments.LightningEnvironment()
    kept: pl.Trainer = package.Trainer(accelerator="cpu", plugins=alone, **options)
    return kept


def observe(source: DataModuleSource, scenario: Scenario) -> Observation:
    """Run it in this process, from seeded generators that are put back afterwards."""
    make_room_for_sockets()
    with contextlib.suppress(ImportError):  # what it draws when it is imported, it draws first
        importlib.import_module(source.path.partition(":")[0])
    one = scenario.ranks == 1
    rank = patch.object(rank_zero_only, "rank", 0) if one else contextlib.nullcontext()
    seeded, limit = _seeded(scenario.seed), time_limit(TIMEOUT)
    listed = relisted() if scenario.relisted else contextlib.nullcontext()
    with tempfile.TemporaryDirectory() as folder, seeded, rank, limit, listed:
        return _ScenarioRun(source, scenario, folder).go()


def make_room_for_sockets() -> None:
    """Where the temporary directory's path is too long, multiprocessing's sockets go to /tmp."""
    given = tempfile.gettempdir()
    if len(os.fsencode(given)) > LONGEST:
        with patch.object(tempfile, "tempdir", "/tmp"):
            util.get_temp_dir()  # is made once, and kept


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """As Lightning advises: seed_everything(seed, workers=True)."""
    before = {name: os.environ.pop(name, None) for name in SEEDING}
    try:
        with isolate_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pl.seed_everything(seed, workers=True, verbose=False)
            generators.draw()  # or a hook that seeds alike would leave them where they are
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ |= {name: value} if value is not None else {}

"""Scenarios: a DataModule under a real Trainer on the CPU, and what is observed there."""

import contextlib
import importlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import util
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, IterableDataset

from datamodule_conformance.call_log import Call, has, with_call_log
from datamodule_conformance.packages import package_of
from datamodule_conformance.probe import Step, probe_for
from datamodule_conformance.source import DataModuleSource

EPOCHS = 2
LOADERS = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}
LOADER_TIMEOUT = 600.0
"""Seconds after which a loader's workers count as hanging."""
LONGEST = 70
"""Bytes of a temporary directory in which a socket of multiprocessing's still has a path that fits;
a cluster's may be longer, and workers would then wait for ever."""
SEEDING = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")


@dataclass(frozen=True)
class Scenario:
    """One way of running a DataModule; the defaults are the plain fit that others are held to."""

    stages: tuple[str, ...] = ("fit",)
    """Of fit, validate, test, predict, and: "refit", a fit with another Trainer; "fail", a fit
    whose first step raises; "resume", a fit of one epoch that another object continues."""
    seed: int = 1
    """Of the process's generators, and the DataModule's where it takes one."""
    workers: int = 0
    """Of the training loader."""
    prepared: int = 0
    """How often other objects ran prepare_data before."""
    prepares: bool = True
    """False: as on a rank that never runs prepare_data."""
    draws: bool = False
    """Whether the model draws from the global generators in each step."""
    ranks: int = 1
    trainer: tuple[tuple[str, Any], ...] = ()
    """Options of the Trainer."""


@dataclass
class Observation:
    """What a scenario shows."""

    passes: dict[str, list[list[Step]]]
    """By stage: each epoch of training, or each pass over evaluation data, step by step."""
    calls: list[Call] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """By stage: samples of the datasets behind its loaders, where they have a length."""
    order: list[Any] | None = None
    """One more epoch's order by the training loader's sampler, if it has one."""

    @property
    def train(self) -> list[list[Step]]:
        """The epochs of training."""
        return self.passes["fit"]


class _ScenarioRun:
    """A scenario in this process."""

    def __init__(self, source: DataModuleSource, scenario: Scenario, folder: str) -> None:
        self.source = source
        self.scenario = scenario
        self.folder = folder
        self.observation = Observation({})
        self.data = self._watched()
        self.package = package_of(type(self.data)) or pl
        self.probe = probe_for(self.package, draws=scenario.draws)
        self.trainer = self._trainer()

    def go(self) -> Observation:
        for stage in self.scenario.stages:
            getattr(self, stage)()
        self.observation.passes = self.probe.passes
        return self.observation

    def fit(self, **options: Any) -> None:
        self.trainer.fit(self.probe, datamodule=self.data, **options)
        loader = self.trainer.train_dataloader
        self.observation.sizes |= sizes("fit", loader)
        self.observation.sizes |= sizes("validate", self.trainer.val_dataloaders)
        self.observation.order = sampler_order(loader)

    def refit(self) -> None:
        self.trainer = self._trainer()
        self.fit()

    def fail(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._trainer().fit(probe_for(self.package, fails=True), datamodule=self.data)

    def resume(self) -> None:
        first = self._trainer(max_epochs=1)
        first.fit(self.probe, datamodule=self.data)
        saved = Path(self.folder) / "resume.ckpt"
        first.save_checkpoint(saved)
        self.data, self.trainer = self._watched(), self._trainer()
        self.fit(ckpt_path=saved)

    def validate(self) -> None:
        self.trainer.validate(self.probe, datamodule=self.data, verbose=False)
        self.observation.sizes |= sizes("validate", self.trainer.val_dataloaders)

    def test(self) -> None:
        self.trainer.test(self.probe, datamodule=self.data, verbose=False)
        self.observation.sizes |= sizes("test", self.trainer.test_dataloaders)

    def predict(self) -> None:
        self.trainer.predict(self.probe, datamodule=self.data)
        self.observation.sizes |= sizes("predict", self.trainer.predict_dataloaders)

    def _watched(self) -> LightningDataModule:
        data = self.source.make(self.scenario.seed)
        for _ in range(self.scenario.prepared):
            self.source.make(self.scenario.seed).prepare_data()
        data.__class__ = with_call_log(type(data), self.observation.calls)
        if not self.scenario.prepares:
            data.prepare_data = lambda: None  # type: ignore[method-assign]
        if has(type(data), "train_dataloader"):
            loader = data.train_dataloader
            data.train_dataloader = lambda: with_workers(loader(), self.scenario.workers)  # type: ignore[method-assign]
        return data

    def _trainer(self, **options: Any) -> pl.Trainer:
        plain: dict[str, Any] = {
            "max_epochs": EPOCHS, "num_sanity_val_steps": 0, "logger": False,
            "enable_checkpointing": False, "enable_progress_bar": False,
            "enable_model_summary": False, "default_root_dir": self.folder,
            "devices": self.scenario.ranks,
            "strategy": "ddp" if self.scenario.ranks > 1 else "auto",
        }  # fmt: skip
        return trainer(self.package, **plain | dict(self.scenario.trainer) | options)


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
    one = scenario.ranks == 1
    rank = patch.object(rank_zero_only, "rank", 0) if one else contextlib.nullcontext()
    with tempfile.TemporaryDirectory() as folder, _seeded(scenario.seed), rank:
        return _ScenarioRun(source, scenario, folder).go()


def make_room_for_sockets() -> None:
    """Where the temporary directory's path is too long, multiprocessing's sockets go to /tmp."""
    given = tempfile.gettempdir()
    if len(os.fsencode(given)) > LONGEST:
        with patch.object(tempfile, "tempdir", "/tmp"):
            util.get_temp_dir()  # is made once, and kept


def with_workers(loaders: Any, count: int) -> Any:
    """The same loaders with `count` worker processes; what is no DataLoader stays as it is."""

    def changed(loader: DataLoader[Any]) -> DataLoader[Any]:
        loader.num_workers = count
        loader.prefetch_factor = 2 if count else None
        loader.timeout = (loader.timeout or LOADER_TIMEOUT) if count else 0
        if not count:
            object.__setattr__(loader, "persistent_workers", False)  # refused after __init__
        return loader

    return apply_to_collection(loaders, DataLoader, changed)


def sizes(stage: str, loaders: Any) -> dict[str, int]:
    """{stage: samples behind the loaders}, or nothing where a dataset has no length."""
    found: list[DataLoader[Any]] = []
    apply_to_collection(loaders, DataLoader, found.append)
    datasets: list[Any] = [loader.dataset for loader in found]
    if not datasets or any(isinstance(dataset, IterableDataset) for dataset in datasets):
        return {}
    return {stage: sum(len(dataset) for dataset in datasets)}


def sampler_order(loader: Any) -> list[Any] | None:
    """The samples of one more epoch by the names that the loader's own sampler gives them."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    if loader.batch_sampler is None:
        return None
    return [name for batch in loader.batch_sampler for name in batch]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """As Lightning advises: seed_everything(seed, workers=True)."""
    before = {name: os.environ.pop(name, None) for name in SEEDING}
    try:
        with isolate_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pl.seed_everything(seed, workers=True, verbose=False)
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ |= {name: value} if value is not None else {}

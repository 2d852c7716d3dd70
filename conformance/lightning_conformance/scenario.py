"""Scenarios: a DataModule under a real Trainer on the CPU, and what is observed in them."""

import contextlib
import functools
import importlib.metadata
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.seed import isolate_rng

from lightning_conformance import generators, loaders
from lightning_conformance.call_log import CallLog, overrides, with_call_log
from lightning_conformance.fork_server import shorten_socket_paths
from lightning_conformance.listing import reverse_listings
from lightning_conformance.probe import Epochs, probe_for
from lightning_conformance.source import DataModuleSource, package_of
from lightning_conformance.time_limit import time_limit

EPOCHS = 2
LOADERS = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}
"""By stage: the prefix of its loader hook."""
TIMEOUT = 300.0
"""Seconds after which a scenario is stopped by a TimeoutError."""
SEED_VARIABLES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
all_entry_points = functools.cache(importlib.metadata.entry_points)
"""Returns the entry points of all installed distributions. Reading their files takes a while."""
READ_SEEDS = ("one state", "one state", "another state")
"""Texts that seed the global generators for three reads of one sample."""


@dataclass(frozen=True)
class Scenario:
    """One way to run a DataModule. The defaults are the fit with which the rules compare."""

    stages: tuple[str, ...] = ("fit",)
    """Methods of _ScenarioRun to call, in order: fit, validate, test, predict, or one of these.

    "refit": a fit with a new Trainer; "fail": a fit whose first step raises;
    "first": a fit of one epoch that saves a checkpoint; "resume": a fit from `checkpoint`.
    """
    checkpoint: bytes = b""
    """The checkpoint that stage "resume" loads."""
    early_state: bool = False
    """Whether stage "resume" also calls load_state_dict before setup, as Lightning does not."""
    seed: int = 1
    """Seed of the process, and of the DataModule if it takes one."""
    workers: int = 0
    """Workers of the training loader; also the DataModule's `num_workers`, unless 0."""
    prior_prepares: int = 0
    """How many other DataModules run prepare_data before this one is made."""
    runs_prepare_data: bool = True
    """Whether Lightning's call of prepare_data has an effect; not every rank gets this call."""
    model_draws: bool = False
    """Whether the model draws from the global generators in each step."""
    ranks: int = 1
    """Number of DDP processes."""
    reseeded: bool = False
    """Whether to seed the global generators for each hook, epoch, sample and batch.

    Draws then do not depend on the generators' states, so a remaining difference has another cause.
    """
    freeze_rng_on_iter: bool = False
    """Whether to patch the loaders, so that iter(loader) leaves all generators as they were."""
    reversed_listings: bool = False
    """Whether os.listdir and os.scandir list in reverse order."""
    hash_seed: str = ""
    """PYTHONHASHSEED of the new process; empty: that of the fork server."""
    read_samples: bool = False
    """Whether to read all samples once more after the last stage, for `Observation.samples`."""
    trainer: tuple[tuple[str, Any], ...] = ()
    """Options of the Trainer."""


@dataclass
class Observation:
    """What was observed in one scenario."""

    passes: dict[str, Epochs]
    """By stage: its epochs or evaluation passes."""
    log: CallLog = field(default_factory=CallLog)
    dataset_sizes: dict[str, int | None] = field(default_factory=dict)
    """By stage: samples of the datasets behind its loaders, if they have a length."""
    order: list[Any] | None = None
    """Indices of one more training epoch, if the training loader has a sampler."""
    repeated_reads: tuple[str | None, ...] = ()
    """Digests of one training sample, read with each of READ_SEEDS; empty if it can't be read."""
    samples: dict[str, list[str]] = field(default_factory=dict)
    """By stage: digests of its samples, all read from the same generator state."""
    workers_can_be_set: bool = True
    """Whether `Scenario.workers` could be set for the training loaders."""
    dataset_classes: dict[str, set[str]] = field(default_factory=dict)
    """By stage: names of the classes of the datasets behind its loaders."""
    requested_workers: int = 0
    """Largest number of workers that the DataModule gives to a training loader."""
    map_style: bool = True
    """Whether all training datasets are map-style."""
    can_be_reseeded: bool = True
    """Whether all training loaders are DataLoaders, whose draws can be reseeded."""
    checkpoint: bytes = b""
    """The checkpoint that stage "first" saved."""

    @property
    def train(self) -> Epochs:
        """The training epochs."""
        return self.passes["fit"]

    @property
    def repetitions(self) -> int:
        """The number of samples in `order` that occur earlier in it."""
        order = self.order or []
        return len(order) - len(set(map(repr, order)))

    def is_cut(self, stage: str) -> bool:
        """Return whether a pass of `stage` was ended because it might be infinite."""
        return any(len(steps) >= loaders.MAX_BATCHES for steps in self.passes.get(stage, []))


class _ScenarioRun:
    """Runs one scenario in this process. Each stage is a method."""

    def __init__(self, source: DataModuleSource, scenario: Scenario, folder: str) -> None:
        self.source, self.scenario, self.folder = source, scenario, Path(folder)
        self.log = CallLog(seed=f"seed {scenario.seed}" if scenario.reseeded else "")
        self.observation = Observation({}, self.log)
        self.package: ModuleType = pl
        """The Lightning package from which the DataModule derives."""
        self.loaders: dict[str, Any] = {}
        """By stage: the loaders that the Trainer used."""
        self.data = self._make_observed()
        self.probe = probe_for(self.package, draws=scenario.model_draws)
        self.trainer = self._trainer()
        self.states = generators.get_states()

    def run(self) -> Observation:
        """Run the stages of the scenario, and return what was observed."""
        for stage in self.scenario.stages:
            getattr(self, stage)()
        self.observation.passes = self.probe.passes
        self._observe_loaders()
        return self.observation

    def fit(self, **options: Any) -> None:
        generators.set_states(self.states)  # as in a new process, whatever ran before
        self.trainer.fit(self.probe, datamodule=self.data, **options)
        self.loaders["fit"] = self.trainer.train_dataloader
        self.loaders["validate"] = self.trainer.val_dataloaders

    def refit(self) -> None:
        self.trainer = self._trainer()
        self.fit()

    def fail(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._trainer().fit(probe_for(self.package, fails=True), datamodule=self.data)

    def first(self) -> None:
        path = self.folder / "saved.ckpt"
        self.trainer = self._trainer(max_epochs=1)
        self.probe.checkpoint = path
        self.fit()
        self.observation.checkpoint = path.read_bytes()

    def resume(self) -> None:
        path = self.folder / "saved.ckpt"
        path.write_bytes(self.scenario.checkpoint)
        # With reseeded draws, also load state that is not plain: it may be the only fault.
        options = {"weights_only": False} if self.scenario.reseeded else {}
        if self.scenario.early_state:
            saved = torch.load(path, weights_only=False)
            self.data.load_state_dict(saved.get(type(self.data).__qualname__, {}))
        self.fit(ckpt_path=path, **options)

    def validate(self) -> None:
        self.trainer.validate(self.probe, datamodule=self.data, verbose=False)
        self.loaders["validate"] = self.trainer.val_dataloaders

    def test(self) -> None:
        self.trainer.test(self.probe, datamodule=self.data, verbose=False)
        self.loaders["test"] = self.trainer.test_dataloaders

    def predict(self) -> None:
        self.trainer.predict(self.probe, datamodule=self.data)
        self.loaders["predict"] = self.trainer.predict_dataloaders

    def _make_observed(self) -> LightningDataModule:
        """Return a new DataModule whose hooks are logged and whose loaders are patched.

        Before that, `prior_prepares` other DataModules run prepare_data.
        """
        states = generators.get_states()
        for _ in range(self.scenario.prior_prepares):
            self._prepare_another()
            generators.set_states(states)  # as if another process had run it
        data = self._make()
        data.__class__ = with_call_log(type(data), self.log)
        if not self.scenario.runs_prepare_data:
            prepare = data.prepare_data
            # Lightning's call is skipped. A call by a hook is left to the rule about hooks.
            data.prepare_data = functools.partial(self.log.run_within_a_hook, prepare)  # type: ignore[method-assign]
        for stage, name in LOADERS.items():
            hook_name = f"{name}_dataloader"
            if overrides(data, hook_name):
                hook = getattr(data, hook_name)
                if hook_name in vars(data):  # from_datasets sets it; the class logs its own hooks
                    hook = functools.partial(self.log.call, hook_name, hook)
                setattr(data, hook_name, functools.partial(self._make_loaders, stage, hook))
        return data

    def _prepare_another(self) -> None:
        """Run prepare_data of another DataModule."""
        another = self._make()
        another.trainer = self._trainer()  # Lightning sets it before it calls prepare_data
        another.prepare_data()

    def _make(self) -> LightningDataModule:
        """Return a new DataModule with the scenario's workers; set `package` to Lightning's."""
        data = self._make_logged()
        self.package = package_of(type(data)) or pl
        if self.scenario.workers:  # 0 might contradict other arguments of its loaders
            _set_num_workers(data, self.scenario.workers)
        return data

    def _make_logged(self) -> LightningDataModule:
        """Return a new DataModule, and log what its __init__ does to the global generators.

        A function that makes it may draw before: that is no fault of the DataModule.
        """
        make = functools.partial(self.source.make, self.scenario.seed)
        if self.source.is_class:
            data: LightningDataModule = self.log.run("__init__", make)
            return data
        states = generators.get_states()
        kind = type(make())
        generators.set_states(states)
        init = kind.__init__

        @functools.wraps(init)
        def logged(*arguments: Any, **named: Any) -> None:
            self.log.run("__init__", functools.partial(init, *arguments, **named))

        with patch.object(kind, "__init__", logged):
            return make()

    def _make_loaders(self, stage: str, hook: Callable[[], Any]) -> Any:
        """Call a loader hook, patch the loaders as the scenario requests, and return them.

        Also record the datasets' classes, and let the probe get the samples of the batches.
        """
        made = hook()
        if stage == "fit":
            made = self._with_workers(made)
            self.observation.map_style = loaders.all_map_style(made)
            self.observation.can_be_reseeded = loaders.all_dataloaders(made)
        classes = {type(loader.dataset) for loader in loaders.dataloaders(made)}
        self.observation.dataset_classes[stage] = {
            f"{kind.__module__}.{kind.__qualname__}" for kind in classes
        }
        # For predict, Lightning creates the loader again from its arguments.
        if self.scenario.reseeded and stage != "predict":
            loaders.reseed_draws(made, self.log.seed, lambda: self.trainer.current_epoch)
        self.probe.samples[stage] = loaders.record_samples(made, in_parallel=stage == "fit")
        loaders.limit_length(made)
        if self.scenario.freeze_rng_on_iter:
            loaders.freeze_rng_on_iter(made)
        return made

    def _with_workers(self, made: Any) -> Any:
        """Return the training loaders with the scenario's number of workers.

        If some are not DataLoaders, set the DataModule's `num_workers` and make them again.
        """
        count, data = self.scenario.workers, self.data
        requested = [loader.num_workers for loader in loaders.dataloaders(made)]
        self.observation.requested_workers = max(requested, default=0)
        if not loaders.all_dataloaders(made):
            self.observation.workers_can_be_set = _set_num_workers(data, count)
            if self.observation.workers_can_be_set:
                made = super(type(data), data).train_dataloader()
        loaders.set_workers(made, count)
        return made

    def _observe_loaders(self) -> None:
        """Record the loaders' sizes, order and samples after the last stage."""
        sizes = {stage: loaders.dataset_size(used) for stage, used in self.loaders.items()}
        self.observation.dataset_sizes = sizes
        train = self.loaders.get("fit")
        with contextlib.suppress(Exception):  # teardown may have closed the samples' files
            self.observation.order = loaders.sampler_order(train)
            index = (self.observation.order or [])[0]
            self.observation.repeated_reads = tuple(
                loaders.sample_digest(train, index, seed) for seed in READ_SEEDS
            )
        for stage, used in self.loaders.items() if self.scenario.read_samples else ():
            with contextlib.suppress(Exception):
                self.observation.samples |= {stage: loaders.all_sample_digests(used)}

    def _trainer(self, **options: Any) -> pl.Trainer:
        """Return a new Trainer with the scenario's options; `options` take precedence."""
        defaults: dict[str, Any] = {
            "max_epochs": EPOCHS, "num_sanity_val_steps": 0, "logger": False,
            "enable_checkpointing": False, "enable_progress_bar": False,
            "enable_model_summary": False, "default_root_dir": str(self.folder),
            "devices": self.scenario.ranks,
            "strategy": "ddp" if self.scenario.ranks > 1 else "auto",
        }  # fmt: skip
        return make_trainer(self.package, **defaults | dict(self.scenario.trainer) | options)


def make_trainer(package: ModuleType = pl, **options: Any) -> pl.Trainer:
    """Return a Trainer on the CPU, from the given Lightning package.

    It ignores a launcher (SLURM, torchrun) that may have started other processes in the same job.
    """
    environments = importlib.import_module(f"{package.__name__}.plugins.environments")
    plugin = environments.LightningEnvironment()
    connector = importlib.import_module(f"{package.__name__}.trainer.connectors.callback_connector")
    external: Any = connector._load_external_callbacks
    entry_points = {"entry_points": lambda **names: all_entry_points().select(**names)}
    with (
        # To log whether a TPU is available, any Trainer would import torch_xla: seconds.
        patch.object(package.accelerators.XLAAccelerator, "is_available", lambda: False),
        patch.dict(external.__globals__, entry_points),  # each Trainer would read them again
    ):
        trainer: pl.Trainer = package.Trainer(accelerator="cpu", plugins=plugin, **options)
    return trainer


def observe(source: DataModuleSource, scenario: Scenario) -> Observation:
    """Run a scenario in this process and return what was observed.

    The global generators are seeded before and restored afterwards. After TIMEOUT: TimeoutError.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(prepared_process([source.path], scenario.seed, scenario.ranks))
        if scenario.reversed_listings:
            stack.enter_context(reverse_listings())
        return _ScenarioRun(source, scenario, folder).run()


@contextlib.contextmanager
def prepared_process(paths: list[str], seed: int, ranks: int) -> Iterator[str]:
    """Import the modules of `paths`, and seed the generators for the block; yield a folder.

    The folder is temporary. `paths` are "module:name".

    Raises:
        TimeoutError: the block took longer than TIMEOUT.
    """
    shorten_socket_paths()
    for path in paths:
        with contextlib.suppress(ImportError):  # importing may draw: do it before seeding
            importlib.import_module(path.partition(":")[0])
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(seed_process(seed))
        if ranks == 1:
            stack.enter_context(patch.object(rank_zero_only, "rank", 0))
        stack.enter_context(time_limit(TIMEOUT))
        yield folder


def _set_num_workers(data: LightningDataModule, count: int) -> bool:
    """Set the DataModule's `num_workers`; return False if it has none that can be set."""
    owners: list[Any] = [owner for owner in (data, data.hparams) if hasattr(owner, "num_workers")]
    for owner in owners:
        try:
            owner.num_workers = count
        except AttributeError:  # a property
            return False
    return bool(owners)


@contextlib.contextmanager
def seed_process(seed: int) -> Iterator[None]:
    """Call seed_everything(seed, workers=True) for the block, without warnings.

    Generators and environment variables are restored afterwards.
    """
    before = {name: os.environ.pop(name, None) for name in SEED_VARIABLES}
    try:
        with isolate_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pl.seed_everything(seed, workers=True, verbose=False)
            # Otherwise a hook that seeds with the same number would leave the states unchanged.
            generators.draw()
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ |= {name: value} if value is not None else {}

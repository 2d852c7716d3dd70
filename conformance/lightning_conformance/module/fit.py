"""Scenarios of a fit: a LightningModule with its DataModule in new processes, and what they saw."""

import contextlib
import dataclasses
import importlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_conformance import generators, loaders
from lightning_conformance.call_log import overrides
from lightning_conformance.digests import digest
from lightning_conformance.module.source import Project, package_of_module
from lightning_conformance.scenario import LOADERS, make_trainer, prepared_process

EPOCHS = 2
CHECKPOINT = "saved.ckpt"


@dataclass(frozen=True)
class FitScenario:
    """One way to train and evaluate a project. The defaults are the fit that rules compare with."""

    stages: tuple[str, ...] = ("fit",)
    """Methods of FitRun to call, in order."""
    seed: int = 1
    """Seed of the process, and of module and DataModule if they take one."""
    workers: int = 0
    """Worker processes of each training loader."""
    ranks: int = 1
    """Number of DDP processes."""
    checkpoint: bytes = field(default=b"", repr=False)
    """The checkpoint that stage "resume" loads."""
    logger: bool = False
    """Whether the Trainer logs each step, and has a progress bar."""
    trainer: tuple[tuple[str, Any], ...] = ()
    """Options of the Trainer."""


@dataclass
class FitObservation:
    """What one rank of a scenario observed. Digests are SHA-256 over bits."""

    initial_weights: dict[str, str] = field(default_factory=dict)
    """Digests of the state_dict's entries before the first stage."""
    weights: dict[str, str] = field(default_factory=dict)
    """Digests of the state_dict's entries after the last stage."""
    batches: list[str | None] = field(default_factory=list)
    """Digests of the batches that training_step got."""
    losses: list[str | None] = field(default_factory=list)
    """Digests of what training_step returned, one per step."""
    optimizers: str | None = None
    """Digest of the states of all optimizers at the end of the fit."""
    schedulers: str | None = None
    """Digest of the states of all learning rate schedulers at the end of the fit."""
    follows_a_metric: bool = False
    """Whether a learning rate scheduler is a ReduceLROnPlateau."""
    without_gradient: list[str] | None = None
    """Names of trainable parameters without a gradient after the first backward; None: unknown."""
    saved_epoch: tuple[int, bytes] | None = None
    """The checkpoint saved at the end of the last epoch but one, and the number of steps before it.

    Only a fit of the default scenario saves it.
    """
    saved_step: tuple[int, bytes] | None = None
    """As `saved_epoch`, but saved within the last epoch.

    None if neither the training loaders nor the DataModule have a state that could be resumed.
    """
    optimized: dict[str, int] = field(default_factory=dict)
    """By name of a parameter that is trainable when training starts: how many optimizers have it.

    Empty without optimizers.
    """
    repeated: list[str] = field(default_factory=list)
    """Names of the parameters that one optimizer has more than once."""
    frozen_changed: set[str] = field(default_factory=set)
    """Names of the frozen parameters that a step of an optimizer has changed."""


class FitRun:
    """Runs one scenario in this process. Each stage is a method.

    The global generators are seeded from seed and epoch when a training loader starts a pass, and
    in the first step and in the middle of an epoch. So a draw in validation has no influence on the
    order or on dropout in a later epoch, and a resumed epoch has the order and dropout of the
    original.
    """

    def __init__(self, project: Project, scenario: FitScenario, folder: Path) -> None:
        self.project, self.scenario, self.folder = project, scenario, folder
        self.observation = FitObservation()
        self.states = generators.get_states()
        self.module, self.data = project.make(scenario.seed)
        self.package: ModuleType = package_of_module(type(self.module)) or importlib.import_module(
            "pytorch_lightning"
        )
        self._patch_loaders()
        self.observation.initial_weights = digests_of(self.module)
        self.trainer = self.make_trainer()

    def run(self) -> FitObservation:
        """Run the stages of the scenario, and return what was observed."""
        for stage in self.scenario.stages:
            getattr(self, stage)()
        self.observation.weights = digests_of(self.module)
        return self.observation

    def fit(self, **options: Any) -> None:
        generators.set_states(self.states)  # as after seed_everything, whatever __init__ has drawn
        self.trainer.fit(self.module, datamodule=self.data, **options)

    def resume(self) -> None:
        """Go on from the scenario's checkpoint to the last epoch."""
        path = self.folder / CHECKPOINT
        path.write_bytes(self.scenario.checkpoint)
        self.fit(ckpt_path=path, weights_only=False)

    def save(self) -> bytes:
        """Return the checkpoint of the Trainer's state."""
        path = self.folder / CHECKPOINT
        self.trainer.save_checkpoint(path)
        return path.read_bytes() if path.exists() else b""

    def _patch_loaders(self) -> None:
        """Let the loader hooks return loaders that end, in training with the scenario's workers."""
        for stage, name in LOADERS.items():
            hook_name = f"{name}_dataloader"
            if overrides(self.data, hook_name):
                hook = getattr(self.data, hook_name)
                setattr(self.data, hook_name, lambda s=stage, h=hook: self._make_loaders(s, h))

    def _make_loaders(self, stage: str, hook: Callable[[], Any]) -> Any:
        made = hook()
        if stage == "fit":
            loaders.set_workers(made, self.scenario.workers)
            loaders.seed_on_iter(made, lambda: f"order {self._epoch_seed()}")
        loaders.limit_length(made)
        return made

    def _epoch_seed(self) -> str:
        return f"seed {self.scenario.seed} epoch {self.trainer.current_epoch}"

    def make_trainer(self, **options: Any) -> Any:
        """Return a new Trainer with the scenario's options; `options` take precedence."""
        defaults: dict[str, Any] = {
            "max_epochs": EPOCHS, "num_sanity_val_steps": 0, "logger": False,
            "enable_checkpointing": False, "enable_progress_bar": False,
            "enable_model_summary": False, "default_root_dir": str(self.folder),
            "devices": self.scenario.ranks,
            "strategy": "ddp" if self.scenario.ranks > 1 else "auto",
            "callbacks": [
                optimizer_recorder(self.package, self.observation),
                recorder(self.package, self.observation, self._epoch_seed),
            ],
        }  # fmt: skip
        if self.scenario.logger:
            logger = silent_logger(self.package, str(self.folder))
            defaults |= {"logger": logger, "log_every_n_steps": 1, "enable_progress_bar": True}
        options = defaults | dict(self.scenario.trainer) | options
        trainer: Any = make_trainer(self.package, **options)
        # An argument would need enable_checkpointing.
        if dataclasses.replace(self.scenario, logger=False) == FitScenario():
            trainer.callbacks.append(saver(self.package, self.observation, self.save))
        return trainer


def silent_logger(package: ModuleType, folder: str) -> Any:
    """Return a logger of `package` that writes nothing.

    Its `experiment` accepts any call: a module may need that of one certain logger.
    """
    loggers = importlib.import_module(f"{package.__name__}.loggers.logger")

    class SilentLogger(loggers.DummyLogger):  # type: ignore[name-defined, misc]
        log_dir = save_dir = folder

    return SilentLogger()


def recorder(
    package: ModuleType, observation: FitObservation, epoch_seed: Callable[[], str]
) -> Any:
    """Return a Callback of `package` that writes batches, losses and states to `observation`.

    It also seeds the global generators with `epoch_seed()` twice in each epoch, see FitRun.
    """

    class Recorder(package.Callback):  # type: ignore[name-defined, misc]
        def on_train_start(self, trainer: Any, module: Any) -> None:
            observation.follows_a_metric = any(
                isinstance(config.scheduler, ReduceLROnPlateau)
                for config in trainer.lr_scheduler_configs
            )

        def on_train_batch_start(
            self, trainer: Any, module: Any, batch: Any, batch_idx: int
        ) -> None:
            observation.batches.append(digest(batch))
            if batch_idx in (0, middle(trainer)):
                generators.seed_all(f"step {batch_idx} {epoch_seed()}")

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *args: Any) -> None:
            observation.losses.append(digest(outputs))

        def on_after_backward(self, trainer: Any, module: Any) -> None:
            if module.automatic_optimization and observation.without_gradient is None:
                observation.without_gradient = names_without_gradient(module)

        def on_train_end(self, trainer: Any, module: Any) -> None:
            observation.optimizers = digest([o.state_dict() for o in trainer.optimizers])
            configs = trainer.lr_scheduler_configs
            observation.schedulers = digest([c.scheduler.state_dict() for c in configs])

    return Recorder()


def middle(trainer: Any) -> int | None:
    """Return the number of the step in the middle of an epoch, or None for loaders without end."""
    steps = trainer.num_training_batches
    return int(steps) // 2 if math.isfinite(steps) else None


def saver(package: ModuleType, observation: FitObservation, save: Callable[[], bytes]) -> Any:
    """Return a Callback of `package` that saves checkpoints, as ModelCheckpoint would.

    Lightning calls a Checkpoint after the module's hooks, other callbacks before.
    """

    class Saver(package.callbacks.Checkpoint):  # type: ignore[name-defined, misc]
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == trainer.max_epochs - 2:
                observation.saved_epoch = len(observation.batches), save()

        def on_train_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            is_last_epoch = trainer.current_epoch == trainer.max_epochs - 1
            if is_last_epoch and batch_idx + 1 == middle(trainer) and _has_state(trainer):
                observation.saved_step = len(observation.batches), save()

    return Saver()


def _has_state(trainer: Any) -> bool:
    """Return whether training loaders or DataModule have a state that could be resumed."""
    used = loaders.flatten(trainer.train_dataloader)
    return overrides(trainer.datamodule, "load_state_dict") or all(
        hasattr(loader, "load_state_dict") for loader in used
    )


def optimizer_recorder(package: ModuleType, observation: FitObservation) -> Any:
    """Return a Callback of `package` that writes to `observation` what the optimizers train."""

    class OptimizerRecorder(package.Callback):  # type: ignore[name-defined, misc]
        def on_train_start(self, trainer: Any, module: Any) -> None:
            names = {id(parameter): name for name, parameter in module.named_parameters()}
            counts = [Counter(map(id, parameters_of(o))) for o in trainer.optimizers]
            observation.repeated = sorted(
                {names.get(key, "?") for count in counts for key in count if count[key] > 1}
            )
            if counts:
                observation.optimized = {
                    name: sum(id(parameter) in count for count in counts)
                    for name, parameter in module.named_parameters() if parameter.requires_grad
                }  # fmt: skip
            for optimizer in trainer.optimizers:
                _watch_frozen(optimizer, names, observation)

    return OptimizerRecorder()


def parameters_of(optimizer: Any) -> list[Any]:
    """Return the parameters of all groups of an optimizer."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _watch_frozen(optimizer: Any, names: dict[int, str], observation: FitObservation) -> None:
    """Write to `observation` which frozen parameters a step of the optimizer changes.

    Without a gradient no optimizer of torch changes a parameter.
    """
    before: dict[int, str | None] = {}

    def frozen() -> dict[int, str | None]:
        parameters = [p for p in parameters_of(optimizer) if not p.requires_grad]
        return {id(p): digest(p) for p in parameters if p.grad is not None}

    def compare() -> None:
        changed = {key for key, value in frozen().items() if before.get(key, value) != value}
        observation.frozen_changed |= {names.get(key, "?") for key in changed}

    optimizer.register_step_pre_hook(lambda *_: before.update(frozen()))
    optimizer.register_step_post_hook(lambda *_: compare())


def names_without_gradient(module: Any) -> list[str]:
    """Return the names of the trainable parameters without a gradient, except those DDP ignores."""
    ignored = getattr(module, "_ddp_params_and_buffers_to_ignore", ())
    return [
        name for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.grad is None and name not in ignored
    ]  # fmt: skip


def digests_of(module: Any) -> dict[str, str]:
    """Return the digest of each entry of the module's state_dict, by name."""
    return {name: digest(value) or "" for name, value in module.state_dict().items()}


def observe_fit(project: Project, scenario: FitScenario) -> FitObservation:
    """Run a scenario in this process, a new one, and return what was observed.

    Raises:
        TimeoutError: it took longer than TIMEOUT.
    """
    with prepared_project(project, scenario) as folder:
        return FitRun(project, scenario, folder).run()


@contextlib.contextmanager
def prepared_project(project: Project, scenario: FitScenario) -> Iterator[Path]:
    """Import the project and seed the generators for the block; yield a temporary folder."""
    paths = [project.data.path, project.module.path]
    with prepared_process(paths, scenario.seed, scenario.ranks) as folder:
        yield Path(folder)

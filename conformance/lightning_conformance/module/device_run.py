"""A run of a module on the simulated device: what another device refuses, and where it waits."""

import functools
import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from lightning_conformance import loaders
from lightning_conformance.call_log import overrides
from lightning_conformance.messages import describe_error
from lightning_conformance.module.device_log import DeviceLog, storage_key
from lightning_conformance.module.fit import FitScenario, prepared_project, silent_logger
from lightning_conformance.module.nondeterminism import NonDeterministicCall
from lightning_conformance.module.other_device import DEVICE, DeviceTensor, simulated_device
from lightning_conformance.module.source import Project, package_of_module
from lightning_conformance.module.user_code import Place, UserCode
from lightning_conformance.scenario import LOADERS, make_trainer

BATCHES = 2
"""Batches of each stage. The last is judged: what waits in the first alone, is rare enough."""
MAX_DEPTH = 4
MAX_ELEMENTS = 100
"""Limits of the search for tensors in attributes."""
MOVED = {"_parameters", "_buffers", "_modules"}
FRAMEWORK_ATTRIBUTES = {"_trainer", "_fabric", "trainer", "_hparams", "_hparams_initial"}
CUDA_ERRORS = ("CUDA", "NVIDIA")
"""Words in torch's messages that say that the machine has no GPU."""


@dataclass(frozen=True)
class Event:
    """What happened in a line of user code."""

    text: str
    place: Place | None = None
    """The line; None if it is unknown, or if the text names it."""

    def __str__(self) -> str:
        return self.text if self.place is None else f"{self.text} ({self.place})"


@dataclass(frozen=True)
class DeviceRun:
    """What was observed in training, validation and test."""

    faults: tuple[Event, ...] = ()
    """What another device refuses."""
    waits: tuple[Event, ...] = ()
    """What lets the CPU wait for the device in each step, except in lines of `faults`."""
    calls: tuple[NonDeterministicCall, ...] = ()
    """Calls of operators that are not deterministic on CUDA."""
    error: str = ""
    """Why the run ended early; empty if it did not."""


def observe_device(project: Project, scenario: FitScenario) -> DeviceRun:
    """Train and evaluate the module on the simulated device, and return what was observed."""
    with prepared_project(project, scenario) as folder:
        module, data = project.make(scenario.seed)
        _load_in_this_process(data)
        package = package_of_module(type(module))
        assert package is not None
        log = DeviceLog(UserCode(type(module).__module__.partition(".")[0]))
        trainer = _trainer(package, log, folder)
        evaluates = overrides(data, "test_dataloader") and (
            type(module).test_step is not package.LightningModule.test_step
        )
        error = ""
        try:
            with simulated_device(log):
                trainer.fit(module, datamodule=data)
                if evaluates:
                    trainer.test(module, datamodule=data, verbose=False)
        except (Exception, SystemExit) as raised:
            error = describe_error(raised)
        return _summary(log, error)


def _load_in_this_process(data: Any) -> None:
    """Let the loader hooks return loaders without workers: these would inherit the simulation."""

    def load(hook: Callable[[], Any]) -> Any:
        made = hook()
        loaders.set_workers(made, 0)
        return made

    for name in LOADERS.values():
        if overrides(data, f"{name}_dataloader"):
            hook = getattr(data, f"{name}_dataloader")
            setattr(data, f"{name}_dataloader", functools.partial(load, hook))


def _summary(log: DeviceLog, error: str) -> DeviceRun:
    faults = [Event(text, place) for place, text in log.faults.items()]
    if not faults and any(word in error for word in CUDA_ERRORS):
        faults.append(Event(error))
    last = dict(sorted(log.waits))
    waits = {
        place: name for step in last.items() for place, name in log.waits[step].items()
        if place not in log.faults
    }  # fmt: skip
    return DeviceRun(
        tuple(faults),
        tuple(Event(name, place) for place, name in sorted(waits.items())),
        tuple(sorted(log.operators.calls)),
        error,
    )


def _trainer(package: ModuleType, log: DeviceLog, folder: Path) -> Any:
    """Return a Trainer of two batches per stage on the simulated device."""
    strategies = importlib.import_module(f"{package.__name__}.strategies")

    class SimulatedDevice(strategies.SingleDeviceStrategy):  # type: ignore[name-defined, misc]
        def setup_environment(self) -> None:
            """The accelerator would refuse a device that is not its own."""

        def model_to_device(self) -> None:
            if not any(isinstance(tensor, DeviceTensor) for tensor in self.model.parameters()):
                super().model_to_device()

        def teardown(self) -> None:
            """The module stays on the device for the next stage."""

    # In inference mode torch refuses views of parameters that are tensors of another class.
    return make_trainer(
        package, strategy=SimulatedDevice(device=DEVICE), devices=1, max_epochs=1,
        limit_train_batches=BATCHES, limit_val_batches=BATCHES, limit_test_batches=BATCHES,
        num_sanity_val_steps=0, enable_checkpointing=False, inference_mode=False,
        logger=silent_logger(package, str(folder)), callbacks=[_step_marker(package, log)],
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=str(folder),
    )  # fmt: skip


def _step_marker(package: ModuleType, log: DeviceLog) -> Any:
    """Return a Callback of `package` that tells `log` when a step begins, and a pass ends."""

    class StepMarker(package.Callback):  # type: ignore[name-defined, misc]
        def _start(self, module: Any, batch: Any, stage: str, number: int) -> None:
            log.step = stage, number
            log.waits[log.step] = {}
            log.owners = {storage_key(tensor): name for name, tensor in _tensors(batch, "batch")}
            log.owners |= {
                storage_key(tensor): f"the attribute {name}" for name, tensor in _attributes(module)
            }

        def on_train_batch_start(self, _: Any, module: Any, batch: Any, number: int) -> None:
            self._start(module, batch, "fit", number)

        def on_validation_batch_start(
            self, _: Any, module: Any, batch: Any, number: int, dataloader_idx: int = 0
        ) -> None:
            self._start(module, batch, f"validate {dataloader_idx}", number)

        def on_test_batch_start(
            self, _: Any, module: Any, batch: Any, number: int, dataloader_idx: int = 0
        ) -> None:
            self._start(module, batch, f"test {dataloader_idx}", number)

        def _end(self, *_: Any) -> None:
            log.step = None

        on_train_epoch_end = on_validation_epoch_end = on_test_epoch_end = _end

    return StepMarker()


def _attributes(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors on the CPU in attributes that Module.to does not move, with their names."""
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in MOVED | FRAMEWORK_ATTRIBUTES:
                yield from _tensors(value, f"{prefix}.{name}" if prefix else name)


def _tensors(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors on the CPU in nested containers and objects, with their names."""
    if isinstance(value, Tensor):
        if not isinstance(value, DeviceTensor):
            yield name, value
    elif depth < MAX_DEPTH:
        for key, element in itertools.islice(_elements(value), MAX_ELEMENTS):
            yield from _tensors(element, f"{name}{key}", depth + 1)


def _elements(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the elements of a container, or the attributes of an object, with their names."""
    if isinstance(value, Mapping):
        for key, element in value.items():
            yield f"[{key!r}]", element
    elif isinstance(value, (Sequence, Set)) and not isinstance(value, (str, bytes)):
        for number, element in enumerate(value):
            yield f"[{number}]", element
    elif isinstance(value, nn.Module):
        for key, tensor in itertools.chain(value.named_parameters(), value.named_buffers()):
            yield f".{key}", tensor
        for key, tensor in _attributes(value):
            yield f".{key}", tensor
    elif not isinstance(value, (type, ModuleType)) and hasattr(value, "__dict__"):
        for key, element in vars(value).items():
            yield f".{key}", element

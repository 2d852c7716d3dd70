"""What people would train with instead of this suite's Trainer: further modes, each with a network,
an optimizer and a loader of its own.

| mode | a step of it |
| --- | --- |
| timm | a plain PyTorch loop over timm's loader |
| fastai | fastai's Learner |
| transformers | Hugging Face's Trainer |

They run as their users run them, while torch may choose kernels that are not deterministic, in the
memory format that they have by default. Nothing of them is imported before it is asked for.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from torch import nn

from benchmark.common.parameters import Parameters
from benchmark.errors.user_error import UserError
from benchmark.timing.coroutine import Coroutine
from benchmark.timing.isolation import Attributes, Settings, isolated, replaced, replacements
from benchmark.timing.modes import Loop
from benchmark.training.fit import fine_tuner
from benchmark.training.precision import tf32

PACKAGES = {
    "timm": ("timm",),
    "fastai": ("fastai",),
    "transformers": ("transformers", "accelerate"),
}
"""By mode, the packages whose versions tell what was measured."""
Build = Callable[[nn.Module, str, Parameters], Loop | Coroutine]
"""Makes a fit of a network, for an accelerator and parameters."""


@dataclass(frozen=True)
class Peer:
    """A fit under settings of its own, which end with each block."""

    fit: Loop | Coroutine
    settings: Settings
    attributes: Attributes
    allows_tf32: bool

    def run(self, steps: int) -> None:
        """Go on with the fit."""
        with self._own_settings():
            self.fit.run(steps)

    def stop(self) -> None:
        """Let the fit end, if it has a loop of its own."""
        if isinstance(self.fit, Coroutine):
            with self._own_settings():
                self.fit.stop()

    @contextmanager
    def _own_settings(self) -> Iterator[None]:
        """What it warns of is between it and its users."""
        before = Settings.current()
        with warnings.catch_warnings(), replaced(self.attributes), tf32(self.allows_tf32):
            warnings.simplefilter("ignore")
            self.settings.use()
            try:
                yield
            finally:
                before.use()


def start(name: str, accelerator: str, parameters: Parameters, classes: int) -> Peer:
    """The peer `name`, up to its first batch, for which its loader's workers have started.

    Raises:
        UserError: it does not do what the parameters ask for.
        Exception: whatever else it refuses with.
    """
    _check(accelerator, parameters)
    network = fine_tuner(_plain(parameters), classes).network
    with isolated():
        build, attributes = _load(name)
        with replaced(attributes):
            fit = build(network, accelerator, parameters)
            fit.start()
        settings = Settings.current()._replace(deterministic=False)
    return Peer(fit, settings, attributes, parameters.train.precision == "tf32")


def versions(name: str) -> dict[str, str]:
    """Of the peer's packages.

    Raises:
        UserError: one is not installed.
    """
    try:
        return {package: version(package) for package in PACKAGES[name]}
    except PackageNotFoundError as error:
        raise UserError(f"{error.name} is not installed.", "make peers installs it.") from None


def _check(accelerator: str, parameters: Parameters) -> None:
    """Refuse what no peer does.

    Raises:
        UserError: says what.
    """
    precision = parameters.train.precision
    if accelerator not in ("cpu", "gpu"):
        raise UserError(f"Peers are not measured on {accelerator}.", "Measure them on cpu or gpu.")
    if precision == "bf16-true":
        raise UserError(f"Peers are not measured at {precision}.", "Choose another precision.")
    if parameters.model.freeze_backbone:
        raise UserError("A peer trains every layer.", "Set model.freeze_backbone to false.")


def _plain(parameters: Parameters) -> Parameters:
    """The same network as it is by default: contiguous and not compiled."""
    model = parameters.model.model_copy(update={"channels_last": False, "compile": False})
    return parameters.model_copy(update={"model": model})


@cache
def _load(name: str) -> tuple[Build, Attributes]:
    """A peer's adapter, and what its import replaces, once in a process."""
    return replacements(lambda: _adapter(name))


def _adapter(name: str) -> Build:
    match name:
        case "timm":
            from benchmark.timing import timm_peer

            return timm_peer.fit
        case "fastai":
            from benchmark.timing import fastai_peer

            return fastai_peer.fit
    from benchmark.timing import transformers_peer

    return transformers_peer.fit

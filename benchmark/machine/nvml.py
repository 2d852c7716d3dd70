"""What NVIDIA's driver says of the CUDA device that is used, through NVML."""

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from benchmark.machine.processors import BUSY

POWER_LIMIT = "power limit"
REASONS = {
    0x04: POWER_LIMIT, 0x08: "hardware", 0x20: "heat", 0x40: "heat", 0x80: "power supply",
}  # fmt: skip
"""What keeps the clock low, by NVML's bits (its "clocks event reasons"); others are a choice."""


class Unknown(Exception):
    """Why the driver does not say."""


class Use(NamedTuple):
    """Of the device, by everybody."""

    share: float
    """Of the last moment's time, that it was computing."""
    processes: int
    """That have memory there."""


class Gpu:
    """The CUDA device, as its driver knows it.

    Raises:
        Unknown: there is none, its driver cannot be asked, or does not know.
    """

    def __init__(self) -> None:
        if not torch.cuda.is_available() or find_spec("pynvml") is None:
            raise Unknown("needs an NVIDIA GPU and the package nvidia-ml-py")
        import pynvml

        self._nvml = pynvml
        self._ask(pynvml.nvmlInit)
        uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
        self._handle = self._ask(pynvml.nvmlDeviceGetHandleByUUID, uuid)

    def driver(self) -> str:
        """Its version."""
        return str(self._ask(self._nvml.nvmlSystemGetDriverVersion))

    def power_limit(self) -> float:
        """What it is set to, in watts."""
        return self._ask(self._nvml.nvmlDeviceGetPowerManagementLimit, self._handle) / 1e3

    def joules(self) -> float:
        """Since the driver was loaded."""
        return self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption, self._handle) / 1e3

    def megahertz(self) -> int:
        """Of its multiprocessors, now."""
        return int(
            self._ask(self._nvml.nvmlDeviceGetClockInfo, self._handle, self._nvml.NVML_CLOCK_SM)
        )

    def slowed_by(self) -> set[str]:
        """What keeps the clock low now."""
        bits = self._ask(self._nvml.nvmlDeviceGetCurrentClocksEventReasons, self._handle)
        return {reason for bit, reason in REASONS.items() if bits & bit}

    def use(self) -> Use:
        """Now."""
        rates = self._ask(self._nvml.nvmlDeviceGetUtilizationRates, self._handle)
        processes = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses, self._handle)
        return Use(rates.gpu / 100, len(processes))

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(*arguments)
        except self._nvml.NVMLError as error:
            raise Unknown(f"NVML: {error}") from error


def warn_if_used(accelerator: str) -> None:
    """Print a warning if others compute on the GPU now, which this process does not."""
    if accelerator != "gpu":
        return
    with suppress(Unknown):
        use = Gpu().use()
        if use.share > BUSY:
            print(
                f"warning: the GPU is in use {use.share:.0%} of the time (processes on it: "
                f"{use.processes}); it will disturb the measurement.",
                file=sys.stderr,
            )

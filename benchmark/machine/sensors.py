"""Read sensors: the CUDA device through NVIDIA's driver (NVML), and energy counters."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmark.machine.processors import BUSY
from benchmark.machine.schema import POWER_LIMIT, GpuClocks

REASONS = {
    0x04: POWER_LIMIT, 0x08: "hardware", 0x20: "heat", 0x40: "heat", 0x80: "power supply",
}  # fmt: skip
"""Reasons for a low clock, by bit of NVML's "clocks event reasons". Other bits are settings."""
RAPL = Path("/sys/class/powercap")


class SensorError(Exception):
    """A sensor cannot be read; the message says why."""


class NvidiaGpu:
    """Reads NVML's sensors of the CUDA device that torch uses.

    Raises:
        SensorError: the device or the package is missing, or NVML fails. Methods raise it too.
    """

    def __init__(self) -> None:
        if not torch.cuda.is_available() or find_spec("pynvml") is None:
            raise SensorError("needs an NVIDIA GPU and the package nvidia-ml-py")
        import pynvml

        self._nvml = pynvml
        self._query("nvmlInit")
        uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
        self._handle = self._query("nvmlDeviceGetHandleByUUID", uuid)

    def driver_version(self) -> str:
        """Return the driver's version, for example "570.86.15"."""
        return str(self._query("nvmlSystemGetDriverVersion"))

    def power_limit(self) -> float:
        """Return the power limit in watts."""
        return float(self._query("nvmlDeviceGetPowerManagementLimit", self._handle)) / 1e3

    def joules(self) -> float:
        """Return the energy since the driver was loaded, in joules."""
        return float(self._query("nvmlDeviceGetTotalEnergyConsumption", self._handle)) / 1e3

    def megahertz(self) -> int:
        """Return the multiprocessors' current clock, in MHz."""
        return int(self._query("nvmlDeviceGetClockInfo", self._handle, self._nvml.NVML_CLOCK_SM))

    def slowed_by(self) -> set[str]:
        """Return the current reasons for a low clock, from REASONS; empty if there are none."""
        bits = self._query("nvmlDeviceGetCurrentClocksEventReasons", self._handle)
        return {reason for bit, reason in REASONS.items() if bits & bit}

    def utilization(self) -> float:
        """Return the share of the driver's last sample period in which any kernel ran, 0 to 1."""
        return float(self._query("nvmlDeviceGetUtilizationRates", self._handle).gpu) / 100

    def process_count(self) -> int:
        """Return the number of compute processes on the device."""
        return len(self._query("nvmlDeviceGetComputeRunningProcesses", self._handle))

    def _query(self, function: str, *arguments: Any) -> Any:
        """Call a function of NVML; turn its errors into SensorErrors."""
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error


class GpuClockLog:
    """Records a GPU's clock at each call of `record`; stays empty without NVML or a GPU."""

    def __init__(self, accelerator: str) -> None:
        self._gpu: NvidiaGpu | None = None
        self._megahertz: list[int] = []
        self._slowed_by: set[str] = set()
        if accelerator == "gpu":
            with suppress(SensorError):
                self._gpu = NvidiaGpu()

    def record(self) -> None:
        """Record the current clock; call it just after the GPU has computed."""
        if self._gpu:
            with suppress(SensorError):
                self._slowed_by.update(self._gpu.slowed_by())
                self._megahertz.append(self._gpu.megahertz())

    def clocks(self) -> GpuClocks | None:
        """Return the recorded clocks and reasons; None if nothing was recorded."""
        if not self._megahertz:
            return None
        slowed = tuple(sorted(self._slowed_by))
        return GpuClocks(megahertz=tuple(self._megahertz), slowed_by=slowed)


class EnergyMeter:
    """Reads an energy counter: the GPU's through NVML, or for `cpu` and `xla` the CPU's (RAPL)."""

    def __init__(self, accelerator: str) -> None:
        self.reason = ""
        """Why energy cannot be read; empty if it can."""
        self._read: Callable[[], float] = lambda: 0.0
        try:
            self._read = _energy_counter(accelerator)
        except SensorError as error:
            self.reason = str(error)

    def joules(self) -> float:
        """Return joules since an arbitrary moment (use differences); 0 if `reason` is set."""
        return self._read()


def warn_if_gpu_is_busy(accelerator: str) -> None:
    """Print a warning if the GPU is busy now; do nothing on other accelerators."""
    if accelerator != "gpu":
        return
    with suppress(SensorError):
        gpu = NvidiaGpu()
        if (share := gpu.utilization()) > BUSY:
            print(
                f"warning: the GPU is in use {share:.0%} of the time (processes on it: "
                f"{gpu.process_count()}); it will disturb the measurement.",
                file=sys.stderr,
            )


def _energy_counter(accelerator: str) -> Callable[[], float]:
    """Return a function that reads joules; raise SensorError if the accelerator has no counter."""
    if accelerator == "gpu":
        gpu = NvidiaGpu()
        gpu.joules()  # some devices have no such counter
        return gpu.joules
    if accelerator == "tpu":
        raise SensorError("a TPU has no energy counter that can be read here")
    try:
        # Other zones are a part of a package, or the sum of all packages (psys).
        zones = [
            zone
            for zone in sorted(RAPL.glob("intel-rapl:?"))
            if (zone / "name").read_text().startswith("package")
        ]
        counter = _RaplCounter(zones)
    except OSError as error:
        raise SensorError(f"RAPL's counters cannot be read: {error.strerror}") from None
    if not zones:
        raise SensorError("this machine shows no RAPL counters")
    return counter


class _RaplCounter:
    """Sums RAPL zones in joules. Their counters (microjoules) restart at 0 after their limits."""

    def __init__(self, zones: Sequence[Path]) -> None:
        self._files = [zone / "energy_uj" for zone in zones]
        self._limits = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
        self._values = self._microjoules()
        self._total = 0

    def __call__(self) -> float:
        values = self._microjoules()
        for old, new, limit in zip(self._values, values, self._limits, strict=True):
            self._total += new - old if new >= old else new - old + limit
        self._values = values
        return self._total / 1e6

    def _microjoules(self) -> list[int]:
        return [int(file.read_text()) for file in self._files]

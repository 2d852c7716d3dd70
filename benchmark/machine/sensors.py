"""What the machine's sensors say: the CUDA device through NVIDIA's driver (NVML), and energy."""

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
"""Why the clock is low, by NVML's bits ("clocks event reasons"). Other bits are user settings."""
RAPL = Path("/sys/class/powercap")


class SensorError(Exception):
    """A sensor cannot be read; the message says why."""


class NvidiaGpu:
    """The CUDA device that torch uses, as its driver describes it.

    Raises:
        SensorError: there is no such device, or the driver cannot answer.
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
        """Version of the driver, for example "570.86.15"."""
        return str(self._query("nvmlSystemGetDriverVersion"))

    def power_limit(self) -> float:
        """Power limit that is set, in watts."""
        return float(self._query("nvmlDeviceGetPowerManagementLimit", self._handle)) / 1e3

    def joules(self) -> float:
        """Energy since the driver was loaded, in joules."""
        return float(self._query("nvmlDeviceGetTotalEnergyConsumption", self._handle)) / 1e3

    def megahertz(self) -> int:
        """Present clock of the multiprocessors, in MHz."""
        return int(self._query("nvmlDeviceGetClockInfo", self._handle, self._nvml.NVML_CLOCK_SM))

    def slowed_by(self) -> set[str]:
        """Present reasons for a low clock, from REASONS."""
        bits = self._query("nvmlDeviceGetCurrentClocksEventReasons", self._handle)
        return {reason for bit, reason in REASONS.items() if bits & bit}

    def utilization(self) -> float:
        """Share of the last moment in which the device computed for any process, 0 to 1."""
        return float(self._query("nvmlDeviceGetUtilizationRates", self._handle).gpu) / 100

    def process_count(self) -> int:
        """Number of processes that have memory on the device."""
        return len(self._query("nvmlDeviceGetComputeRunningProcesses", self._handle))

    def _query(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error


class GpuClockLog:
    """A GPU's clock at each call of `record`; stays empty without NVML."""

    def __init__(self, accelerator: str) -> None:
        self._gpu: NvidiaGpu | None = None
        self._megahertz: list[int] = []
        self._slowed_by: set[str] = set()
        if accelerator == "gpu":
            with suppress(SensorError):
                self._gpu = NvidiaGpu()

    def record(self) -> None:
        """Read the present clock; to be called when the GPU has just been at work."""
        if self._gpu:
            with suppress(SensorError):
                self._slowed_by.update(self._gpu.slowed_by())
                self._megahertz.append(self._gpu.megahertz())

    def clocks(self) -> GpuClocks | None:
        """All recorded clocks; None if there are none."""
        if not self._megahertz:
            return None
        slowed = tuple(sorted(self._slowed_by))
        return GpuClocks(megahertz=tuple(self._megahertz), slowed_by=slowed)


class EnergyMeter:
    """A counter of joules: the GPU's through NVML, else the processor's (RAPL)."""

    def __init__(self, accelerator: str) -> None:
        self.reason = ""
        """Why energy cannot be read; empty if it can."""
        self._read: Callable[[], float] = lambda: 0.0
        try:
            self._read = _energy_counter(accelerator)
        except SensorError as error:
            self.reason = str(error)

    def joules(self) -> float:
        """Energy since an arbitrary moment, in joules: use differences."""
        return self._read()


def warn_if_gpu_is_busy(accelerator: str) -> None:
    """Print a warning if other processes compute on the GPU now."""
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
    """Sum of RAPL zones in joules; the counters in microjoules restart at their limits."""

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

"""A GPU's clock while it is measured, and what slows it down."""

from contextlib import suppress

from benchmark.machine import nvml
from benchmark.throughput.schema import GpuClocks


class Clocks:
    """Notes them whenever it is asked to; nothing where no driver says so."""

    def __init__(self, accelerator: str) -> None:
        self._gpu: nvml.Gpu | None = None
        self._megahertz: list[int] = []
        self._slowed_by: set[str] = set()
        if accelerator == "gpu":
            with suppress(nvml.Unknown):
                self._gpu = nvml.Gpu()

    def note(self) -> None:
        """As they are now: to be asked when the GPU has just been at work."""
        if self._gpu:
            with suppress(nvml.Unknown):
                self._slowed_by.update(self._gpu.slowed_by())
                self._megahertz.append(self._gpu.megahertz())

    def found(self) -> GpuClocks | None:
        """All that was noted; None where nothing was."""
        if not self._megahertz:
            return None
        slowed = tuple(sorted(self._slowed_by))
        return GpuClocks(megahertz=tuple(self._megahertz), slowed_by=slowed)

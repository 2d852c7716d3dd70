"""Models of the environment stage's result, and of a GPU's clocks during a measurement."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from benchmark.common.results import ResultModel, Unavailable

POWER_LIMIT = "power limit"
"""Reason for a low clock that does not count as a disturbance, since it is a GPU's setting."""


class Environment(ResultModel):
    """Hardware and software behind an accelerator."""

    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    accelerator: str
    """The accelerator as reports call it."""
    device: str
    """The device's name."""
    machine: str
    """Opaque id of the hardware, 16 hex digits."""
    cpu: str
    """Model name of the processor."""
    cores: int
    """Physical cores."""
    processors: int
    """Logical processors that a process may use."""
    threads: int
    """Threads that torch computes with, no more than `processors`."""
    memory_gib: int
    """Installed memory of the machine in GiB, rounded up to a usual size."""
    system: str
    """Operating system and architecture."""
    python: str
    """Version of Python."""
    packages: dict[str, str]
    """Versions of the packages that compute."""
    settings: dict[str, str] | None = None
    """Environment variables that change what is computed, by name; null if there are none. A value
    that is more than a word is replaced by a digest."""
    gpu: str | None = None
    """Opaque id of the CUDA device."""
    cuda: str | None = None
    """Version of CUDA."""
    cudnn: str | None = None
    """Version of cuDNN."""
    driver: str | None = None
    """Version of the CUDA device's driver; null if unknown."""
    power_limit_watts: float | None = None
    """Power limit of the CUDA device; null if unknown."""


class Memory(ResultModel):
    """Most memory in use."""

    host_bytes: int
    """Resident memory of the process."""
    device_bytes: int | None = None
    """Memory of the device; null if it is not known."""
    device_reason: str | None = None
    """Why `device_bytes` is null."""


class GpuClocks(ResultModel):
    """A GPU's clock, read from its driver."""

    megahertz: tuple[int, ...]
    """Clock of the multiprocessors at the end of each round."""
    slowed_by: tuple[str, ...]
    """Reasons for a low clock: `heat`, `hardware`, `power limit`, `power supply`."""


ENVIRONMENT: TypeAdapter[Environment | Unavailable] = TypeAdapter(
    Annotated[Environment | Unavailable, Field(discriminator="status")]
)

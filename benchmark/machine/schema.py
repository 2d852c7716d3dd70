"""What the environment stage writes, and a GPU's clocks while it is measured."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from benchmark.common.results import ResultModel, Unavailable

POWER_LIMIT = "power limit"
"""Reason for a low clock that is not a disturbance: the GPU works as it was set up."""


class Environment(ResultModel):
    """Hardware and software behind an accelerator."""

    status: Literal["ok"] = "ok"
    """As opposed to `unavailable`."""
    accelerator: str
    """The accelerator as reports call it."""
    device: str
    """What the accelerator calls itself."""
    machine: str
    """Opaque id of the hardware, 16 hex digits."""
    cpu: str
    """Model name of the processor."""
    cores: int
    """Physical cores."""
    processors: int
    """Logical processors that a process may use here."""
    threads: int
    """Threads that torch computes with, no more than `processors`."""
    memory_gib: int
    """Of the machine, in GiB."""
    system: str
    """Operating system and architecture."""
    python: str
    """Version of Python."""
    packages: dict[str, str]
    """Versions of the packages that compute."""
    settings: dict[str, str] | None = None
    """Variables of the environment that change what is computed, by name; null without any. A
    value that is more than a word stands as a digest."""
    gpu: str | None = None
    """Opaque id of the CUDA device."""
    cuda: str | None = None
    """Version of CUDA."""
    cudnn: str | None = None
    """Version of cuDNN."""
    driver: str | None = None
    """Version of the CUDA device's driver; null where it does not say."""
    power_limit_watts: float | None = None
    """What the CUDA device is limited to; null where it does not say."""


class GpuClocks(ResultModel):
    """A GPU's clock, as its driver says."""

    megahertz: tuple[int, ...]
    """Of its multiprocessors, at the end of each round."""
    slowed_by: tuple[str, ...]
    """What kept it from being higher: `heat`, `hardware`, `power limit`, `power supply`."""


ENVIRONMENT: TypeAdapter[Environment | Unavailable] = TypeAdapter(
    Annotated[Environment | Unavailable, Field(discriminator="status")]
)

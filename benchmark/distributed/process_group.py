"""The processes that train together, each with one device: which of them this one is, and what they
tell one another.

PyTorch's launcher or SLURM starts them. What a training notes is exchanged on the host, over gloo:
the accelerators' own group is for gradients. A process that trains alone is rank 0 of 1.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators

if TYPE_CHECKING:
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from torch.distributed import Store  # type: ignore[attr-defined]

T = TypeVar("T")
PATIENCE = timedelta(days=30)
"""For which ranks wait for one that waits for another measurement's end."""
_exchange: "list[dist.ProcessGroup]" = []
"""The group over gloo, once there is one."""


def cluster_environment() -> "ClusterEnvironment":
    """What Lightning knows of this process's launcher.

    Raises:
        UserError: a job of SLURM's was asked for in a way that Lightning cannot use.
    """
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if "TORCHELASTIC_RUN_ID" in os.environ:
        return TorchElasticEnvironment()
    try:
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError as error:
        raise UserError("SLURM:", str(error)) from None


@contextmanager
def process_group(name: str, processes: int) -> Iterator[None]:
    """Make this process ready for an accelerator, in one group with those that train with it.

    Lightning finds and uses the group.

    Args:
        name: of the accelerator.
        processes: their number; one is in no group.

    Raises:
        UserError: the launcher has started another number of processes, or as
            `accelerators.prepare`.
    """
    if processes == 1:
        accelerators.prepare(name)
        yield
        return
    here = cluster_environment()
    if here.world_size() != processes:
        raise UserError(
            f"The launcher has started {here.world_size()} processes, and params.yaml's trainer "
            f"asks for {processes}.",
            "Start as many as trainer.devices x trainer.num_nodes.",
        )
    _silence_gloo()
    device = torch.device("cuda", here.local_rank()) if name == "gpu" else None
    if device:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device else "gloo",
        store=_store(here),
        rank=here.global_rank(),
        world_size=processes,
        device_id=device,
    )
    _host_group()  # while all are here: one that comes later has five minutes to meet the others
    accelerators.prepare(name, dist.get_rank())
    yield
    dist.barrier(_host_group())  # nobody leaves while another still speaks
    dist.destroy_process_group()
    _exchange.clear()


def get_rank() -> int:
    """This process among all, from 0."""
    return dist.get_rank() if _are_several() else 0


def get_world_size() -> int:
    """The processes that train together."""
    return dist.get_world_size() if _are_several() else 1


def barrier() -> None:
    """Until every process has come here."""
    if _are_several():
        dist.barrier(_host_group())


def broadcast(value: T) -> T:
    """What process 0 has as `value`; the others' own is not looked at."""
    if not _are_several():
        return value
    values = [value]
    dist.broadcast_object_list(values, 0, group=_host_group())
    return values[0]


def all_gather(value: T) -> list[T]:
    """What each process has as `value`, by its number."""
    if not _are_several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=_host_group())
    return values


def gather_round_robin(rows: Tensor) -> Tensor:
    """The rows of all processes in the order in which EpochSampler deals samples: each process's
    first, then each one's second, and so on.

    Args:
        rows: (n, ...) on any device; those of the first processes may hold one more.

    Returns:
        (n of all, ...) of the same dtype; on the host if there are several processes.
    """
    if not _are_several():
        return rows
    parts = all_gather(rows.cpu())
    together = torch.empty((sum(map(len, parts)), *rows.shape[1:]), dtype=rows.dtype)
    for position, part in enumerate(parts):
        together[position :: len(parts)] = part
    return together


@contextmanager
def one_per_node(lock: AbstractContextManager[None]) -> Iterator[None]:
    """`lock`, held by one process of each machine; the others wait until it is."""
    first = not _are_several() or cluster_environment().local_rank() == 0
    with lock if first else nullcontext():
        barrier()
        yield


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized()


def _host_group() -> "dist.ProcessGroup":
    """Made by all at their first exchange, since Lightning may have made the first group itself."""
    if not _exchange:
        _exchange.append(dist.new_group(backend="gloo", timeout=PATIENCE))
    return _exchange[0]


def _silence_gloo() -> None:
    """It writes a line to standard output for each group and rank. Python's own goes on."""
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, errors="backslashreplace")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)


def _store(here: "ClusterEnvironment") -> "Store":
    """What the launcher keeps for its processes, or one of our own where it keeps nothing. A
    restart gets a part to itself: the addresses of those that are gone are in the one before."""
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        here.main_address,
        here.main_port,
        here.world_size(),
        is_master=not kept and here.global_rank() == 0,
    )
    return PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)

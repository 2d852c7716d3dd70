"""The process group of a training, one rank per device: rank, world size, and collectives.

PyTorch's launcher or SLURM starts the ranks. This module's collectives run on the host, over gloo;
the default group (NCCL on CUDA) is for gradients. A process that trains alone is rank 0 of 1.
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
TIMEOUT = timedelta(days=30)
"""Timeout of the gloo group. One rank may wait for the measuring lock while the others wait."""
_exchange: "list[dist.ProcessGroup]" = []
"""Contains the gloo group; empty until it is created."""


def cluster_environment() -> "ClusterEnvironment":
    """Return Lightning's environment of this process's launcher: torchelastic or SLURM.

    Raises:
        UserError: Lightning cannot use the options of the SLURM job.
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
    """Initialise torch.distributed and prepare the accelerator while a `with` block runs.

    With several processes, create the default group (which Lightning uses) and the gloo group, and
    select this rank's CUDA device. After the block, wait for all ranks and destroy the groups.

    Args:
        name: name of the accelerator.
        processes: world size; with 1, only the accelerator is prepared.

    Raises:
        UserError: the launcher has started another number of processes, or as in
            `accelerators.prepare`.
    """
    if processes == 1:
        accelerators.prepare(name)
        yield
        return
    cluster = cluster_environment()
    if cluster.world_size() != processes:
        raise UserError(
            f"The launcher has started {cluster.world_size()} processes, and params.yaml's trainer "
            f"asks for {processes}.",
            "Start as many as trainer.devices x trainer.num_nodes.",
        )
    _silence_gloo()
    device = torch.device("cuda", cluster.local_rank()) if name == "gpu" else None
    if device:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device else "gloo",
        store=_connect_rendezvous_store(cluster),
        rank=cluster.global_rank(),
        world_size=processes,
        device_id=device,
    )
    _host_group()  # now: later, the other ranks would wait for only five minutes
    accelerators.prepare(name, dist.get_rank())
    yield
    dist.barrier(_host_group())  # a rank that leaves early would break the other ranks' collectives
    dist.destroy_process_group()
    _exchange.clear()


def get_rank() -> int:
    """Return this process's rank; 0 without a group."""
    return dist.get_rank() if _are_several() else 0


def get_world_size() -> int:
    """Return the number of ranks; 1 without a group."""
    return dist.get_world_size() if _are_several() else 1


def barrier() -> None:
    """Wait until every rank has called this function."""
    if _are_several():
        dist.barrier(_host_group())


def broadcast(value: T) -> T:
    """Return rank 0's `value` on every rank; all ranks must call it."""
    if not _are_several():
        return value
    values = [value]
    dist.broadcast_object_list(values, 0, group=_host_group())
    return values[0]


def all_gather(value: T) -> list[T]:
    """Return the `value` of every rank, in the order of ranks; all ranks must call it."""
    if not _are_several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=_host_group())
    return values


def gather_round_robin(rows: Tensor) -> Tensor:
    """Return the rows of all ranks in the order in which EpochSampler distributes samples.

    The order is each rank's first row, then each rank's second row, and so on. All ranks must call
    this function.

    Args:
        rows: (n, ...) on any device; the first ranks may have one row more.

    Returns:
        (sum of n, ...) of the same dtype; on the CPU if there are several ranks.
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
    """Enter `lock` on local rank 0 of each machine; all ranks wait until every lock is entered."""
    first = not _are_several() or cluster_environment().local_rank() == 0
    with lock if first else nullcontext():
        barrier()
        yield


def _are_several() -> bool:
    """Return whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def _host_group() -> "dist.ProcessGroup":
    """Return the gloo group. The first call creates it, so all ranks must make it together."""
    if not _exchange:
        _exchange.append(dist.new_group(backend="gloo", timeout=TIMEOUT))
    return _exchange[0]


def _silence_gloo() -> None:
    """Redirect file descriptor 1, on which gloo prints a line per group and rank, to /dev/null.

    `sys.stdout` then writes to a copy of the old descriptor, so Python's prints still appear.
    """
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, errors="backslashreplace")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)


def _connect_rendezvous_store(cluster: "ClusterEnvironment") -> "Store":
    """Connect to the key-value store through which ranks exchange their addresses.

    It is the launcher's store if the launcher hosts one, else a store that rank 0 creates. The
    launcher's restart count is the prefix of the keys, since addresses from before a restart belong
    to ended processes.
    """
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    launcher_hosts_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        cluster.main_address,
        cluster.main_port,
        cluster.world_size(),
        is_master=not launcher_hosts_store and cluster.global_rank() == 0,
    )
    return PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)

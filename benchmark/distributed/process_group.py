"""The processes that train together, one for each device: rank, world size, and collectives.

PyTorch's launcher or SLURM starts them. Collectives here run on the host, over gloo; the group of
the accelerators is for gradients. A process that trains alone is rank 0 of 1.
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
"""Time that ranks wait for a rank that waits for the measuring lock."""
_exchange: "list[dist.ProcessGroup]" = []
"""The group over gloo; empty until it is made."""


def cluster_environment() -> "ClusterEnvironment":
    """Return Lightning's description of this process's launcher.

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
    """Prepare this process for an accelerator, in a group with the processes that train with it.

    Lightning uses the group.

    Args:
        name: of the accelerator.
        processes: number of processes; a single one needs no group.

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
    _host_group()  # now: a rank that came later would have only five minutes to join
    accelerators.prepare(name, dist.get_rank())
    yield
    dist.barrier(_host_group())  # a rank that left early would break the others' exchange
    dist.destroy_process_group()
    _exchange.clear()


def get_rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if _are_several() else 0


def get_world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if _are_several() else 1


def barrier() -> None:
    """Wait until every process has called this."""
    if _are_several():
        dist.barrier(_host_group())


def broadcast(value: T) -> T:
    """Return rank 0's `value` in every process."""
    if not _are_several():
        return value
    values = [value]
    dist.broadcast_object_list(values, 0, group=_host_group())
    return values[0]


def all_gather(value: T) -> list[T]:
    """Return the `value` of every process, in the order of ranks."""
    if not _are_several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=_host_group())
    return values


def gather_round_robin(rows: Tensor) -> Tensor:
    """Return the rows of all processes in the order in which EpochSampler distributes samples.

    The order is each process's first row, then each process's second row, and so on.

    Args:
        rows: (n, ...) on any device; the first processes may have one row more.

    Returns:
        (sum of n, ...) of the same dtype; on the host if there are several processes.
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
    """Enter `lock` in one process of each machine; the others wait until it has it."""
    first = not _are_several() or cluster_environment().local_rank() == 0
    with lock if first else nullcontext():
        barrier()
        yield


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized()


def _host_group() -> "dist.ProcessGroup":
    """Return the group over gloo; all processes make it together at their first exchange."""
    if not _exchange:
        _exchange.append(dist.new_group(backend="gloo", timeout=TIMEOUT))
    return _exchange[0]


def _silence_gloo() -> None:
    """Discard gloo's lines on standard output, one for each group and rank; keep Python's."""
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, errors="backslashreplace")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)


def _connect_rendezvous_store(cluster: "ClusterEnvironment") -> "Store":
    """Return the launcher's store, or a new one if the launcher has none.

    After a restart the keys have another prefix: the old ones contain addresses of ended processes.
    """
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        cluster.main_address,
        cluster.main_port,
        cluster.world_size(),
        is_master=not kept and cluster.global_rank() == 0,
    )
    return PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)

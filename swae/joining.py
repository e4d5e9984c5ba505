r"""Ranks that have met, as Fabric wants to be told of them.

Who starts processes, and how they find each other, is no concern of training: once
:mod:`torch.distributed` is initialised, by whatever launcher or library, they train one model.
"""

__all__ = ["JoinedRanks", "all_alike", "joined_ranks", "told"]

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from .data import Samples
from .distributed import meet


@contextmanager
def all_alike() -> Iterator[dict[str, object]]:
    r"""Refuses, on all ranks, what one of them refuses, or what is not the same on all.

    Yields:
        What is to be filled with facts by name, the same names on all ranks. They are compared by
        what they print.

    Raises:
        ValueError: If another rank has raised an error, or a fact differs.
    """

    facts: dict[str, object] = {}
    group = meet(None, together=True)
    if group is None:
        yield facts
        return
    try:
        yield facts
    except Exception:  # no interruption, after which others may not come
        gathered([0], group)  # for those who wait for it
        raise
    refused = [rank for rank, [fine] in enumerate(gathered([1], group)) if not fine]
    if refused:
        raise ValueError(
            f"Ranks train one model, but rank {refused[0]} has refused its data or settings."
        )
    first, *others = gathered(list(map(sum_of, facts.values())), group)
    for rank, sums in enumerate(others, start=1):
        differing = [n for n, a, b in zip(facts, first, sums, strict=True) if a != b]
        if differing:
            raise ValueError(
                "Ranks train one model, each given the same settings and data, of which it reads "
                f"its part; but {differing[0]} of rank {rank} differs from that of rank 0."
            )


def told(value: object) -> object:
    r"""Returns what can be told of a setting that is the same in another process.

    A module is told by what it prints and by its buffers; its weights are handed on by rank 0.

    Example:
        >>> told(torch.nn.ReLU())[0], told(max)
        ('ReLU()', 'max')
    """

    if value is None or isinstance(value, str | int | float | tuple | list):
        return value
    if isinstance(value, torch.nn.Module):
        printed = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
        buffers = [(name, Samples(t[None]).fingerprint()) for name, t in value.named_buffers()]
        return printed, buffers
    return getattr(value, "__qualname__", type(value).__qualname__)


def gathered(numbers: list[int], group: dist.ProcessGroup) -> list[list[int]]:
    r"""Returns numbers of each rank, as many of all."""

    device = "cuda" if dist.get_backend(group) == "nccl" else "cpu"
    mine = torch.tensor(numbers, device=device)
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, mine, group=group)
    return [part.tolist() for part in parts]


def sum_of(fact: object) -> int:
    return int.from_bytes(hashlib.blake2b(str(fact).encode(), digest_size=7).digest())


@final
class JoinedRanks(ClusterEnvironment):
    r"""What Fabric asks of a cluster, answered by the process group that is there.

    Arguments:
        per_node: The ranks of a node.
    """

    creates_processes_externally = True
    main_address = ""  # is asked for to initialise what is
    main_port = 0

    def __init__(self, per_node: int) -> None:
        super().__init__()
        self.per_node = per_node

    @staticmethod
    def detect() -> bool:
        return dist.is_initialized()

    def world_size(self) -> int:
        return dist.get_world_size()

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return dist.get_rank()

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return int(os.environ.get("LOCAL_RANK", self.global_rank() % self.per_node))

    def node_rank(self) -> int:
        return self.global_rank() // self.per_node


def joined_ranks(device: str) -> dict[str, Any]:
    r"""Returns the arguments of a Fabric for the ranks that have met, or for one device.

    Arguments:
        device: The kind of device, ``cpu`` or ``cuda``.

    Raises:
        ValueError: If there are more ranks than devices on a node.
    """

    if meet(None, together=True) is None:
        return {"devices": 1}
    world = dist.get_world_size()
    there = torch.cuda.device_count() if device == "cuda" else world
    per_node = int(os.environ.get("LOCAL_WORLD_SIZE", min(world, there)))
    if per_node > there:
        raise ValueError(
            f"{per_node} ranks a node want as many devices, but there are {there}; "
            "start fewer, or use device='cpu'."
        )
    # All take part in all: where they leave each other, it is at the end of an epoch.
    return {
        "devices": per_node,
        "num_nodes": world // per_node,
        "strategy": DDPStrategy(cluster_environment=JoinedRanks(per_node)),
    }

r"""The ranks of a command: how they meet, part, and learn that one has gone."""

__all__ = ["check_devices", "from_rank_0", "joined", "wait_for_rank_0"]

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ..distributed import LostRankError, is_lost_rank
from ..launching import MEETING, Place, place_of, watch_launcher
from ..training import DivergedError, device_for

TIMEOUT = timedelta(hours=2)
r"""How long ranks wait for rank 0 to judge an epoch, or to draw the figures; none that ended."""


@contextmanager
def joined(device: str) -> Iterator[int]:
    r"""Has this process meet the others that a launcher has started, if it has.

    A rank but the first is silent, and gone at once when it is terminated: it has nothing to save.

    Arguments:
        device: The device that is asked for.

    Yields:
        The rank, 0 for a process by itself.

    Raises:
        ValueError: If this node has fewer devices than ranks.
        LostRankError: If another rank has ended.
    """

    place = place_of(os.environ)
    if place is None:
        yield 0
        return
    watch_launcher()
    try:
        check_devices(device, int(os.environ.get("LOCAL_WORLD_SIZE", place.local + 1)))
    except ValueError:
        if place.local == 0:  # one of a node says so
            raise
        raise SystemExit(2) from None
    if place.rank > 0:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to all; rank 0 answers
        logging.disable(logging.WARNING)
    try:
        meet_others(device_for(device), place)
        yield place.rank
        dist.barrier()  # all have done it, or none says so
    except DivergedError:
        with suppress(Exception):  # all have come to it; the first may be writing what it kept
            dist.barrier()
        if place.rank == 0:  # all have come to it, and one says so
            raise
        raise SystemExit(4) from None
    except Exception as error:
        if not is_lost_rank(error):
            raise
        if place.rank > 0:
            raise SystemExit(5) from error
        raise LostRankError(
            "another rank has ended or does not answer, so training can't go on; --resume goes on "
            "from the last checkpoint, if there is one."
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def check_devices(device: str, n: int) -> None:
    r"""Refuses more ranks on this node than it has devices for.

    Arguments:
        device: The device that is asked for.
        n: The number of ranks.

    Raises:
        ValueError: If there are not as many.

    Example:
        >>> check_devices("cpu", 3)  # which share its cores
    """

    kind = device_for(device)
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, n)
    if n > there:
        raise ValueError(
            f"--devices asks for {n} processes on this machine, each with a {kind} device of its "
            f"own, but there {'is' if there == 1 else 'are'} {there}; ask for fewer, or for "
            "--device cpu."
        )


def meet_others(device: str, place: Place) -> None:
    if device == "cuda":
        torch.cuda.set_device(place.local)
    backend = "nccl" if device == "cuda" else "gloo"
    if meeting := os.environ.get(MEETING):
        store = dist.FileStore(meeting, place.world)  # type: ignore[attr-defined] # is documented
        where: dict[str, Any] = {"store": store, "rank": place.rank, "world_size": place.world}
    else:  # where MASTER_ADDR says
        where = {}
    dist.init_process_group(backend, timeout=TIMEOUT, **where)


def wait_for_rank_0() -> None:
    r"""Lets all go on once rank 0 is here, and has read what others then find in the cache."""

    if dist.is_initialized():
        dist.barrier()


def from_rank_0(value: Any) -> Any:  # noqa: ANN401 - whatever can be pickled
    r"""Returns what rank 0 has, on all ranks."""

    values = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(values, src=0)
    return values[0]

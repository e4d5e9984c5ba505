r"""What ranks exchange a step, and the time that a rank takes, at 1, 2, 4 and 8 ranks.

``python -m benchmarks.scaling`` has each rank put its own batch of codes through the penalty,
forward and back, and a model of vectors through a step of training under DDP, with gloo on this
machine's processors, one thread a rank. The batch a rank stays the same, so that the whole grows
with the ranks. It prints

- the bytes of codes that a rank receives in a step, as the collectives are called with them,
- the processor time that a rank takes, whatever the others on the same core do: for its own work,
  and within the collectives, where gloo moves bytes and waits for the others, in part by asking
  again and again,
- the time that passes, which means something only while each rank has a core of its own.

``--collectives`` prints which collectives a step calls, and their bytes. ``--one-of 1024`` starts
no ranks: it measures the penalty's work of the first of so many in this process, to which random
numbers come where it would receive the others', and states the bytes. What it would take to
receive them is left out, and so is one gathering of 24 bytes a rank.
"""

import argparse
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn

import swae.distributed
import swae.sliced
from benchmarks.timing import machine
from swae import Autoencoder, Normal, SlicedWassersteinLoss
from swae.distributed import Ranks
from swae.networks import build
from swae.seeding import stream
from swae.training import make_optimizer

STEPS, FIRST = 30, 5
r"""The steps that are measured, and those before them."""

CALLS = ("all_gather", "reduce_scatter", "all_reduce", "all_to_all_single")
r"""The collectives that are counted."""


class Losses(nn.Module):
    r"""A model whose forward is its loss, as DDP wants it."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, step: int) -> Tensor:
        return self.model.loss(x, generator=stream(0, "penalty", step)).total


@contextmanager
def counted(ranks: int) -> Iterator[list[tuple[str, int, float]]]:
    r"""Keeps the collectives that are called from Python, and the bytes a rank receives in each.

    Of a gathering and an exchange these are the other ranks' parts, of a sum of which each keeps
    a part as much, and of a sum for all twice that, as algorithms do that send no byte in vain.
    """

    calls: list[tuple[str, int, float]] = []

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted_call(first: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any call
            if name == "all_reduce":
                received = 2 * (ranks - 1) * first.nbytes // ranks
            elif name == "all_to_all_single":
                received = first.nbytes - args[1][dist.get_rank()] * first.itemsize
            else:  # a part for, or of, each rank; here or there it is first
                received = (ranks - 1) * (first[0] if name == "all_gather" else first).nbytes
            before = time.process_time()
            result = call(first, *args, **kwargs)
            calls.append((name, received, time.process_time() - before))
            return result

        return counted_call

    patches = [
        mock.patch.object(dist, name, counting(name, getattr(dist, name))) for name in CALLS
    ]
    for patch in patches:
        patch.start()
    try:
        yield calls
    finally:
        for patch in patches:
            patch.stop()


def timed(step: Callable[[int], None], ranks: int) -> dict[str, Any]:
    r"""Measures steps: medians of times, and what the last has exchanged."""

    wall, own, moving = [], [], []
    with counted(ranks) as calls:
        for i in range(FIRST + STEPS):
            calls.clear()
            dist.barrier()
            before = time.perf_counter(), time.process_time()
            step(i)
            wall.append(time.perf_counter() - before[0])
            moving.append(sum(seconds for _, _, seconds in calls))
            own.append(time.process_time() - before[1] - moving[-1])
    return {
        "calls": list(calls),
        "wall": statistics.median(wall[FIRST:]),
        "own": statistics.median(own[FIRST:]),
        "moving": statistics.median(moving[FIRST:]),
    }


def penalty_step(rows: int, dim: int, slices: int, *, null: bool = False) -> Callable[[int], None]:
    penalty = SlicedWassersteinLoss(Normal(dim), slices, slices="orthogonal")
    z = torch.randn(rows, dim, requires_grad=True)

    def step(i: int) -> None:
        z.grad = None
        if null:
            penalty.null(z, generator=stream(0, "null", i))
        else:
            penalty(z, stream(0, "penalty", i)).backward()

    return step


def model_step(rows: int, dim: int, slices: int) -> Callable[[int], None]:
    torch.manual_seed(0)
    penalty = SlicedWassersteinLoss(Normal(dim), slices, slices="orthogonal")
    model = Losses(Autoencoder(*build((64,), dim), penalty))
    runner = nn.parallel.DistributedDataParallel(model)
    optimizer = make_optimizer("adam", model, 1e-3)
    x = torch.rand(rows, 64)

    def step(i: int) -> None:
        optimizer.zero_grad()
        runner(x, i).backward()
        optimizer.step()

    return step


def measure(args: argparse.Namespace, rank: int, ranks: int, folder: Path) -> None:
    r"""Has a rank measure, and all of them meet before; the slowest rank counts."""

    torch.set_num_threads(1)
    store = f"file://{folder}/store-{ranks}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks)
    results = [
        timed(make(args.rows, args.dim, args.slices), ranks) for make in (penalty_step, model_step)
    ]
    everyone: list[Any] = [None] * ranks
    dist.all_gather_object(everyone, results)
    if rank == 0:
        received = sum(n for _, n, _ in results[0]["calls"])
        times = [
            max(r[i][key] for r in everyone) * 1e3
            for i in range(2)
            for key in ("own", "moving", "wall")
        ]
        print(
            f"{ranks:>5}  {ranks * args.rows:>9,}  {received:>9,}  "
            + "  ".join(f"{ms:>6.1f}" for ms in times),
            flush=True,
        )
        if args.collectives:
            print(*(f"       {name}: {n:,} bytes" for name, n, _ in results[1]["calls"]), sep="\n")
    dist.destroy_process_group()


def one_of(args: argparse.Namespace, ranks: int, steps: int = 7) -> None:
    r"""Measures the work of the first of many ranks, which no other one sends anything."""

    torch.set_num_threads(1)
    step, own = penalty_step(args.rows, args.dim, args.slices, null=args.null), []
    with first_of(ranks, args.rows) as received:
        for i in range(steps):
            received.clear()
            before = time.process_time()
            step(i)
            own.append(time.process_time() - before)
    print(
        f"{ranks:>5}  {ranks * args.rows:>9,}  {sum(received):>11,} bytes  "
        f"{statistics.median(own[2:]) * 1e3:.1f} ms of own work",
        flush=True,
    )


@contextmanager
def first_of(ranks: int, rows: int) -> Iterator[list[int]]:
    r"""Has a penalty work as the first of so many ranks would; keeps the bytes that it is sent."""

    received: list[int] = []

    @functools.lru_cache(maxsize=8)
    def numbers(n: int) -> Tensor:
        return torch.randn(n)

    def exchanged(x: Tensor, sent: list[int], parts: list[int], _: Ranks) -> Tensor:
        received.append((sum(parts) - parts[0]) * x.itemsize)
        return numbers(sum(parts))

    def met(*args: Any, **_: Any) -> tuple[Ranks, torch.Generator]:  # noqa: ANN401 - any call
        group = dist.ProcessGroup(0, ranks) if ranks > 1 else None
        return Ranks(0, (rows,) * ranks, group), args[2]

    patches = (
        mock.patch.object(swae.sliced, "meet_drawing", met),
        mock.patch.object(swae.distributed, "swapped", exchanged),
        mock.patch.object(dist, "all_reduce"),
    )
    with patches[0], patches[1], patches[2]:
        yield received


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rows", type=int, default=500, help="Codes a rank.")
    parser.add_argument("--dim", type=int, default=64, help="Dimension of the codes.")
    parser.add_argument("--slices", type=int, default=400, help="Directions.")
    parser.add_argument("--collectives", action="store_true", help="Print each collective.")
    parser.add_argument("--one-of", type=int, nargs="+", help="Work of one of so many ranks.")
    parser.add_argument("--null", action="store_true", help="Work of the null, with --one-of.")
    parser.add_argument("--as-rank", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.as_rank:
        rank, ranks, folder = args.as_rank
        measure(args, int(rank), int(ranks), Path(folder))
        return
    print(f"{machine()}; {os.cpu_count()} cores, gloo, one thread a rank")
    print(f"{args.rows} codes a rank, d = {args.dim}, L = {args.slices}, float32; milliseconds")
    if args.one_of:
        for ranks in args.one_of:
            one_of(args, ranks)
        return
    print("                              the penalty           a step of training")
    print(
        "ranks  all codes   received     own  within    wall     own  within    wall", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        for ranks in args.ranks:
            command = [sys.executable, "-m", "benchmarks.scaling", *sys.argv[1:]]
            places = [["--as-rank", str(r), str(ranks), folder] for r in range(ranks)]
            started = [subprocess.Popen([*command, *place]) for place in places]
            codes = [process.wait() for process in started]
            if any(codes):
                raise SystemExit(f"A rank of {ranks} failed.")


if __name__ == "__main__":
    main()

r"""How fast the penalty is, forward and backward, beside torch.sort and POT.

Run as ``python -m benchmarks.penalty``. M is the number of codes, d their dimension, L the number
of directions, M' the number of samples of the prior. ``torch.sort`` is what public
implementations do: both sides projected, sorted with their indices, and subtracted (with sizes
that do not divide each other, at the nearest quantiles: nearly the same distance).
"""

import argparse
import sys

import ot
import torch
from torch import Tensor

from benchmarks.timing import interleaved, machine, peak
from swae import sliced_wasserstein
from swae.projections import iid

SIZES = [(500, 2, 50, 500), (500, 128, 500, 500), (4096, 64, 1000, 4096), (65536, 64, 200, 65536)]
OTHERS = [
    (500, 2, 50, 4000),
    (500, 128, 500, 4000),
    (4096, 64, 1000, 32768),
    (4096, 64, 1000, 3000),
]
GROWTH = [
    *((m, 64, 200, m) for m in (250, 1000, 4000, 16000, 64000)),
    *((1000, d, 200, 1000) for d in (2, 16, 128, 1024)),
    *((1000, 64, n, 1000) for n in (10, 100, 1000, 10000)),
]


def by_sort(x: Tensor, y: Tensor, theta: Tensor) -> None:
    n, m = len(x), len(y)
    x, y = ((theta.mT @ v.mT).sort(dim=-1).values for v in (x, y))
    if n != m:  # each quantile of the smaller side, about as often as it is met
        grid, size = torch.arange(max(n, m)), max(n, m)
        x, y = (v[:, grid * v.shape[1] // size] for v in (x, y))
    (x - y).square().mean().backward()


def by_pot(x: Tensor, y: Tensor, theta: Tensor) -> None:
    (ot.sliced.sliced_wasserstein_distance(x, y, projections=theta, p=2) ** 2).backward()


def by_swae(x: Tensor, y: Tensor, theta: Tensor) -> None:
    sliced_wasserstein(x, y, theta).backward()


WAYS = {"torch.sort": by_sort, "POT": by_pot, "swae": by_swae}


def draw(m: int, d: int, n_projections: int, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.randn(m, d, requires_grad=True),
        2 * torch.rand(samples, d) - 1,
        iid(d, n_projections),
    )


def row(size: tuple[int, int, int, int], names: list[str], seconds: float) -> str:
    times = interleaved({name: WAYS[name] for name in names}, lambda: draw(*size), seconds)
    cells = [f"{1e3 * times[name]:.2f}" for name in names]
    cells += [f"{times[name] / times['swae']:.1f}" for name in names if name != "swae"]
    return f"| {' | '.join(map(str, size))} | {' | '.join(cells)} |"


def table(
    title: str, sizes: list[tuple[int, int, int, int]], names: list[str], seconds: float
) -> None:
    columns = ["M", "d", "L", "M'", *(f"{name}, ms" for name in names)]
    columns += [f"{name} / swae" for name in names if name != "swae"]
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for size in sizes:
        print(row(size, names, seconds), flush=True)


def memory() -> None:
    print("\nMost memory beside the inputs, MiB, each in a process of its own\n")
    print("| M | d | L | torch.sort | swae |\n|---|---|---|---|---|")
    for size in SIZES[2:]:
        cells = []
        for name in ("torch.sort", "swae"):
            command = (sys.executable, "-m", "benchmarks.penalty", "--hold", *map(str, size))
            used, idle = (peak(*command, "--way", way)[1] for way in (name, "none"))
            cells.append(f"{used - idle:.0f}")
        print(f"| {' | '.join(map(str, size[:3]))} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="About how long a row takes.")
    parser.add_argument("--hold", type=int, nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--way", default="none", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.hold:
        inputs = draw(*args.hold)
        if args.way in WAYS:
            WAYS[args.way](*inputs)
        return

    print(machine())
    table("Equal sizes", SIZES, ["torch.sort", "POT", "swae"], args.seconds)
    table("More samples than codes", OTHERS, ["torch.sort", "swae"], args.seconds / 2)
    table("Growth", GROWTH, ["torch.sort", "swae"], args.seconds / 4)
    memory()


if __name__ == "__main__":
    main()

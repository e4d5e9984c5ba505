r"""What public formulas of the penalty give where the right value is known.

Run as ``python -m benchmarks.formulas``. POT's and ours are called as they are; those of
swae-pytorch and PyTorch-VAE are re-stated here, a line each, from what ``docs/alternatives.md``
links to.

The laws are normal in the plane, with deviations 1 and 2. Every slice is then the same,

.. math:: SW_p^p = E |Z|^p = 2^{p/2} \, \Gamma \big( \tfrac{p + 1}{2} \big) / \sqrt{\pi},
    \quad Z \sim N(0, 1),

and their means agree, so that what measures means alone gives zero.
"""

import math
from collections.abc import Iterator

import numpy as np
import ot
import torch
import torch.nn.functional as F
from torch import Tensor

from swae import Normal, sliced_wasserstein
from swae.projections import iid
from swae.seeding import stream

SAMPLES, SLICES = 20_000, 50


def exact(p: float) -> float:
    return 2 ** (p / 2) * math.gamma((p + 1) / 2) / math.sqrt(math.pi)


def pair(n: int, dim: int = 2) -> tuple[Tensor, Tensor]:
    r"""Returns samples of both laws, evenly spread so that the exact values are met closely."""

    law, generator = Normal(dim), stream(0, "formulas", n)
    return law.sample(n, generator, quasi=True), 2 * law.sample(n, generator, quasi=True)


def signed(x: Tensor, y: Tensor, theta: Tensor, p: float) -> Tensor:
    r"""Raises the difference of the sorted projections to the power p with its sign."""

    return ((x @ theta).sort(0).values - (y @ theta).sort(0).values).pow(p).mean()


def divided(x: Tensor, y: Tensor, theta: Tensor, p: float) -> Tensor:
    r"""Divides by N (N - 1), as PyTorch-VAE does with its weight."""

    return signed(x, y, theta, p) / (len(x) * (len(x) - 1))


def rooted(x: Tensor, y: Tensor, theta: Tensor, p: float) -> Tensor:
    return ot.sliced_wasserstein_distance(x, y, projections=theta, p=p)


def before_the_root(x: Tensor, y: Tensor, theta: Tensor, p: float) -> Tensor:
    _, log = ot.sliced_wasserstein_distance(x, y, projections=theta, p=p, log=True)
    return log["projected_emds"].mean()


def powers() -> Iterator[str]:
    yield "| p | exact | swae | POT, to the power p | signed |\n|---|---|---|---|---|"
    (x, y), theta = pair(SAMPLES), iid(2, SLICES, generator=stream(0, "slices"))
    for p in (1.0, 1.5, 2.0, 3.0):
        ours, pot = sliced_wasserstein(x, y, theta, p), rooted(x, y, theta, p) ** p
        values = (exact(p), ours, pot, signed(x, y, theta, p))
        yield f"| {p:g} | " + " | ".join(f"{float(value):.3f}" for value in values) + " |"


def weights() -> Iterator[str]:
    yield "| batch | slices | 100 times swae | 100 times PyTorch-VAE's |\n|---|---|---|---|"
    for n, slices in ((64, 50), (64, 500), (128, 50), (500, 50)):
        (x, y), theta = pair(n), iid(2, slices, generator=stream(0, "slices"))
        ours, other = sliced_wasserstein(x, y, theta), divided(x, y, theta, 2)
        yield f"| {n} | {slices} | {100 * ours:.1f} | {100 * other:.5f} |"


def directions() -> Iterator[str]:
    yield "| directions, d = 128 | mean square of the largest coordinate |\n|---|---|"
    rng = np.random.default_rng(0)
    draws = {"normal": rng.normal(size=(2000, 128)), "cauchy": rng.standard_cauchy((2000, 128))}
    for name, draw in draws.items():
        squares = draw**2 / (draw**2).sum(1, keepdims=True)
        yield f"| {name} | {squares.max(1).mean():.2f} |"


def gradients() -> Iterator[str]:
    yield "| at a match, x = y | value | gradient |\n|---|---|---|"
    ways = {"swae": sliced_wasserstein, "POT": rooted, "POT, before the root": before_the_root}
    for name, penalty in ways.items():
        x = torch.linspace(-1, 1, 20).reshape(10, 2).requires_grad_()
        value = penalty(x, x.detach(), iid(2, SLICES, generator=stream(0, "slices")), 2.0)
        value.backward()
        yield f"| {name} | {value.item():.3f} | {x.grad.abs().max().item():.3f} |"


def pooling() -> Iterator[str]:
    yield "| a 7 x 7 image of ones, pooled to 4 x 4 | least value |\n|---|---|"
    ones = torch.ones(1, 1, 7, 7)
    padded = F.avg_pool2d(ones, 2, padding=1)
    same = F.avg_pool2d(ones, 2, ceil_mode=True, count_include_pad=False)
    yield f"| swae-pytorch, padding=1 | {padded.min():.2f} |\n| Keras, swae | {same.min():.2f} |"


def targets() -> Iterator[str]:
    yield "| MNIST normalised by 0.1307 and 0.3081 | |\n|---|---|"
    ends = (torch.tensor([0.0, 1.0]) - 0.1307) / 0.3081
    yield f"| a black and a white pixel | {ends[0]:.2f}, {ends[1]:.2f} |"
    try:
        cost = f"{F.binary_cross_entropy(torch.tensor([0.0, 1.0]), ends):.2f}"
    except RuntimeError as error:
        cost = f"refused: {error}"
    yield f"| their cross-entropy, torch {torch.__version__} | {cost} |"


def main() -> None:
    tables = (powers(), weights(), directions(), gradients(), pooling(), targets())
    print("\n\n".join("\n".join(table) for table in tables))


if __name__ == "__main__":
    main()

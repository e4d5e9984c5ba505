r"""Figure 1: a density in the plane and its marginals along a few directions.

The slice of a density :math:`p` along :math:`\theta` is its marginal on the line through
:math:`\theta`, :math:`\mathcal{R}p(t, \theta) = \int p(x) \, \delta(t - \theta^\top x) \, dx`
(Eq. 10). Of a mixture of Gaussians it is the mixture of Gaussians with the projected means, and
of samples it is their projections, which is all that the sliced distance ever looks at.
"""

__all__ = ["draw"]

import math

import numpy as np
import torch
from torch import Tensor

from ..canvas import BLUE, INK, ORANGE, canvas, dress, key, legend, panel
from ..plotting import plane, scatter
from ..priors import Mixture
from ..projections import equispaced
from ..seeding import stream
from .studio import Plate, Studio

LIMITS = (-2.2, 2.2, -2.2, 2.2)
DIRECTIONS = 4
SAMPLES = 10_000


def draw(studio: Studio) -> Plate:
    density = Mixture(
        [[-1.0, -0.6], [0.9, 0.9], [0.8, -1.0]], scales=[0.35, 0.25, 0.45], weights=[0.4, 0.3, 0.3]
    )
    theta = equispaced(DIRECTIONS, stream(0, "paper", "slicing"))
    samples = density.sample(SAMPLES, stream(0, "paper", "samples"))

    figure = canvas(1720, 740)
    left = panel(figure, 110, 90, 540, 540)
    plane(left, "density and directions", LIMITS, ("$x_1$", "$x_2$"))
    left.contour(*contours(density), levels=8, colors=BLUE, linewidths=0.8, alpha=0.8)
    scatter(left, samples[:1000].numpy().astype(float), colour=INK)

    numbers = {}
    for i, direction in enumerate(theta.T):
        end = 1.9 * direction.numpy()
        left.annotate(
            "", end, -end, arrowprops={"arrowstyle": "->", "color": ORANGE, "linewidth": 1.6}
        )
        x, y = 1.08 * end
        left.text(x, y, rf"$\theta_{i + 1}$", color=ORANGE, ha="center", va="center")
        ax = panel(figure, 800 + i % 2 * 470, 410 - i // 2 * 320, 400, 220)
        t = torch.linspace(-2.6, 2.6, 400)
        values = samples @ direction
        ax.hist(values.numpy(), bins=60, density=True, color=BLUE, alpha=0.35, linewidth=0)
        ax.plot(t, marginal(density, direction, t), color=INK, linewidth=1.6)
        dress(ax, rf"slice along $\theta_{i + 1}$", ("$t$" if i > 1 else "", ""))
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(xlim=(-2.6, 2.6), ylim=(0, None))
        numbers[f"theta_{i + 1}"] = {
            "degrees": math.degrees(math.atan2(*direction.flip(0).tolist())) % 180,
            "mean": float((density.weights * (density.means @ direction)).sum()),
            "mean_of_samples": float(values.mean()),
            "deviation": deviation(density, direction),
            "deviation_of_samples": float(values.std()),
        }
    legend(figure, [key("marginal density", INK), key("projected samples", BLUE)])
    return Plate({"": figure}, numbers)


def contours(density: Mixture, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Returns a lattice of the plane and the density there."""

    axis = torch.linspace(*LIMITS[:2], n)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    return axis.numpy(), axis.numpy(), density.log_prob(points).exp().numpy()


def marginal(density: Mixture, theta: Tensor, t: Tensor) -> Tensor:
    r"""Computes the slice :math:`\sum_c \pi_c \mathcal{N}(\theta^\top \mu_c, \sigma_c^2)`."""

    centre = density.means @ theta
    bells = torch.exp(-(((t[:, None] - centre) / density.scales) ** 2) / 2)
    return (density.weights * bells / (math.sqrt(2 * math.pi) * density.scales)).sum(dim=1)


def deviation(density: Mixture, theta: Tensor) -> float:
    r"""Computes the deviation of the slice."""

    centre = density.means @ theta
    mean = (density.weights * centre).sum()
    return float((density.weights * (density.scales**2 + (centre - mean) ** 2)).sum().sqrt())

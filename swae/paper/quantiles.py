r"""Figure 2: Wasserstein in one dimension, by quantile functions and by sorted samples.

With the quantile functions :math:`F^{-1}`,

.. math:: W_p^p(\mu, \nu) = \int_0^1 \big| F_\mu^{-1}(\tau) - F_\nu^{-1}(\tau) \big|^p \, d\tau
    \approx \frac{1}{M} \sum_{m=1}^M \big| F_\mu^{-1}(\tau_m) - F_\nu^{-1}(\tau_m) \big|^p ,
    \qquad \tau_m = \frac{2 m - 1}{2 M}

(Eq. 9 and 12). Of :math:`M` samples, :math:`F^{-1}(\tau_m)` is the :math:`m`-th smallest. So the
integral, its sum over midpoints and the sum over sorted samples (Eq. 14) are one number: the two
right panels.
"""

__all__ = ["draw"]

from collections.abc import Sequence
from typing import cast

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution, Normal, Weibull
from torch.distributions.constraints import Constraint

from ..canvas import BLUE, GREY, INK, ORANGE, canvas, dress, key, legend, panel
from ..seeding import stream
from ..univariate import wasserstein_1d
from .studio import Plate, Studio

M = 20
FINE = 1_000_000


def draw(studio: Studio) -> Plate:
    laws = Normal(-1.0, 0.6), Weibull(torch.tensor(1.8), torch.tensor(2.2))
    u = torch.rand(2, M, dtype=torch.float64, generator=stream(0, "paper", "quantiles"))
    samples = [law.icdf(part) for law, part in zip(laws, u, strict=True)]
    numbers = numbers_of(laws, samples)
    return Plate({"": panels(laws, samples, numbers)}, numbers)


def numbers_of(laws: Sequence[Distribution], samples: Sequence[Tensor]) -> dict[str, float | int]:
    r"""Computes :math:`W_2^2` of the laws, and of samples of them in three ways."""

    tau, weights = midpoints(M), torch.ones(M, dtype=torch.float64)
    x, y = samples
    a, b = (law.icdf(midpoints(FINE)) for law in laws)
    return {
        "squared_W2_of_the_laws": float(wasserstein_1d(a, b)),
        "squared_W2_at_midpoints": float(
            wasserstein_1d(empirical_quantiles(x, tau), empirical_quantiles(y, tau))
        ),
        "squared_W2_integral": float(wasserstein_1d(x, y, x_weights=weights, y_weights=weights)),
        "squared_W2_sorted": float(wasserstein_1d(x, y)),
        "M": M,
        "midpoints_of_the_laws": FINE,
    }


def panels(
    laws: Sequence[Distribution], samples: Sequence[Tensor], numbers: dict[str, float | int]
) -> Figure:
    r"""Draws densities, distribution functions, quantile functions and sorted samples."""

    figure = canvas(1960, 620)
    axes = [panel(figure, 110 + i * 470, 90, 390, 440) for i in range(4)]
    t, tau, m = torch.linspace(-3.2, 5.0, 500, dtype=torch.float64), midpoints(M), range(1, M + 1)
    fine = midpoints(2000)
    for law, x, colour in zip(laws, samples, (BLUE, ORANGE), strict=True):
        pdf, cdf = on_line(law, t)
        axes[0].fill_between(t, pdf, color=colour, alpha=0.35, linewidth=0)
        axes[0].plot(t, pdf, color=colour, linewidth=1.6)
        axes[1].plot(t, cdf, color=colour, linewidth=0.8)
        axes[1].plot(
            x.sort().values, tau + 0.5 / M, color=colour, linewidth=1.6, drawstyle="steps-post"
        )
        axes[2].plot(fine, empirical_quantiles(x, fine), color=colour, linewidth=1.6)
        axes[3].plot(m, x.sort().values, "o", color=colour, markersize=4)
    low, high = (empirical_quantiles(x, tau) for x in samples)
    axes[1].hlines(tau, low, high, color=GREY, linewidth=0.8)
    axes[2].bar(tau, high - low, 0.6 / M, low, color=GREY, alpha=0.4, linewidth=0)
    axes[2].use_sticky_edges = False  # the bars' ends would be the axes'
    axes[3].vlines(m, low, high, color=GREY, linewidth=0.8)

    names = ("densities", "distribution functions", "quantile functions", "sorted samples")
    for ax, title, across in zip(axes, names, ("$t$", "$t$", r"$\tau$", "$m$"), strict=True):
        dress(ax, title, (across, ""))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0, None)
    axes[3].set_xticks([1, 5, 10, 15, 20])
    legend(figure, [key(r"$\mu$", BLUE), key(r"$\nu$", ORANGE), key(r"at $\tau_m$", GREY)])
    for ax, name in ((axes[2], "squared_W2_at_midpoints"), (axes[3], "squared_W2_sorted")):
        text = f"$W_2^2 = {numbers[name]:.4f}$"
        ax.text(0.03, 0.97, text, transform=ax.transAxes, color=INK, va="top")
    return figure


def midpoints(count: int) -> Tensor:
    r"""Returns :math:`\tau_m = (2 m - 1) / (2 M)`."""

    return (torch.arange(1, count + 1, dtype=torch.float64) * 2 - 1) / (2 * count)


def on_line(law: Distribution, t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns density and distribution function of a law; both are 0 below its support."""

    inside = cast(Constraint, law.support).check(t)
    at = torch.where(inside, t, 1.0)
    return inside * law.log_prob(at).exp(), inside * law.cdf(at)


def empirical_quantiles(x: Tensor, tau: Tensor) -> Tensor:
    r"""Returns :math:`F^{-1}(\tau) = \min \{ t : F(t) \geq \tau \}` of samples, by their count."""

    share = (x[:, None] >= x).double().mean(dim=1)  # F at each sample
    reached = torch.where(share >= tau[:, None], x, torch.inf)
    return reached.min(dim=1).values

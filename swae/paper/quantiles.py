r"""Figure 2: Wasserstein in one dimension, by quantile functions and by sorted samples.

With the quantile functions :math:`F^{-1}`,

.. math:: W_p^p(\mu, \nu) = \int_0^1 \big| F_\mu^{-1}(\tau) - F_\nu^{-1}(\tau) \big|^p \, d\tau
    \approx \frac{1}{M} \sum_{m=1}^M \big| F_\mu^{-1}(\tau_m) - F_\nu^{-1}(\tau_m) \big|^p ,
    \qquad \tau_m = \frac{2 m - 1}{2 M}

(Eq. 9 and 12). Of samples, :math:`F^{-1}(\tau_m)` is the :math:`m`-th smallest, so the sum is one
over sorted samples (Eq. 14): the two right panels are the same number.
"""

__all__ = ["draw"]

from typing import cast

import torch
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
    mu, nu = Normal(-1.0, 0.6), Weibull(torch.tensor(1.8), torch.tensor(2.2))
    tau = midpoints(M)
    x, y = (law.icdf(midpoints(FINE)) for law in (mu, nu))
    draws = torch.rand(2, M, dtype=torch.float64, generator=stream(0, "paper", "quantiles"))
    a, b = (law.icdf(u) for law, u in zip((mu, nu), draws, strict=True))

    numbers = {
        "W2_integral": float(wasserstein_1d(x, y)),
        "W2_midpoints": float(wasserstein_1d(mu.icdf(tau), nu.icdf(tau))),
        "W2_sorted_samples": float(wasserstein_1d(a, b)),
        "W2_quantiles_of_samples": float(
            (empirical_quantiles(a, tau) - empirical_quantiles(b, tau)).square().mean()
        ),
        "M": M,
        "midpoints_of_the_integral": FINE,
    }

    figure = canvas(1960, 620)
    axes = [panel(figure, 110 + i * 470, 90, 390, 440) for i in range(4)]
    t = torch.linspace(-3.2, 5.0, 500, dtype=torch.float64)
    fine = midpoints(500)
    for law, colour in ((mu, BLUE), (nu, ORANGE)):
        pdf, cdf = on_line(law, t)
        axes[0].fill_between(t, pdf, color=colour, alpha=0.35, linewidth=0)
        axes[0].plot(t, pdf, color=colour, linewidth=1.6)
        axes[1].plot(t, cdf, color=colour, linewidth=1.6)
        axes[2].plot(fine, law.icdf(fine), color=colour, linewidth=1.6)
    x, y = mu.icdf(tau), nu.icdf(tau)
    axes[1].hlines(tau, x, y, color=GREY, linewidth=0.8)
    axes[2].bar(tau, y - x, 0.8 / M, x, color=GREY, alpha=0.4, linewidth=0)
    m = range(1, M + 1)
    axes[3].vlines(m, a.sort().values, b.sort().values, color=GREY, linewidth=0.8)
    axes[3].plot(m, a.sort().values, "o", color=BLUE, markersize=4)
    axes[3].plot(m, b.sort().values, "o", color=ORANGE, markersize=4)

    names = ("densities", "distribution functions", "quantile functions", "sorted samples")
    for ax, title, across in zip(axes, names, ("$t$", "$t$", r"$\tau$", "$m$"), strict=True):
        dress(ax, title, (across, ""))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0, None)
    axes[3].set_xticks([1, 5, 10, 15, 20])
    legend(figure, [key(r"$\mu$", BLUE), key(r"$\nu$", ORANGE), key(r"$\tau_m$", GREY)])
    for ax, name in ((axes[2], "W2_midpoints"), (axes[3], "W2_sorted_samples")):
        ax.text(
            0.03,
            0.95,
            f"$W_2^2 = {numbers[name]:.4f}$",
            transform=ax.transAxes,
            color=INK,
            va="top",
        )
    return Plate({"": figure}, numbers)


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

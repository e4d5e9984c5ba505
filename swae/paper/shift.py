r"""Figure 6: Wasserstein and Jensen-Shannon between shifted uniform laws.

Between :math:`\mathcal{U}[0, 1]` and :math:`\mathcal{U}[s, s + 1]`

.. math:: W_1 = |s| , \qquad JS = \min(|s|, 1) \log 2 ,

for on the overlap :math:`1 - |s|` the densities agree, and off it one of them is 0. Once the laws
are apart, Jensen-Shannon does not tell how far, and its slope is 0: nothing pulls them together.
"""

__all__ = ["draw"]

import math

import numpy as np
import torch

from ..canvas import BLUE, DASHED, INK, ORANGE, canvas, dress, key, legend, panel
from ..univariate import wasserstein_1d
from .quantiles import midpoints
from .studio import Plate, Studio

MIDPOINTS = 1000
CELLS = 4000


def draw(studio: Studio) -> Plate:
    shifts = np.linspace(-2, 2, 81)
    w1 = np.array([wasserstein(s) for s in shifts])
    js = np.array([jensen_shannon(s) for s in shifts])
    closed = {"W1": np.abs(shifts), "JS": np.minimum(np.abs(shifts), 1) * math.log(2)}

    figure = canvas(1240, 620)
    for i, (name, values, colour) in enumerate((("W1", w1, BLUE), ("JS", js, ORANGE))):
        ax = panel(figure, 120 + i * 570, 90, 480, 440)
        ax.plot(shifts, values, color=colour, linewidth=2.4)
        ax.plot(shifts, closed[name], color=INK, linewidth=1.2, linestyle=DASHED)
        dress(ax, ("Wasserstein $W_1$", "Jensen-Shannon")[i], ("shift $s$", ""))
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_ylim(0, None)
    legend(figure, [key("computed", BLUE), key("closed form", INK, DASHED)])
    numbers = {
        f"{name}_at_{s}": float(values[np.argmin(np.abs(shifts - s))])
        for s in (0.5, 1.0, 1.5, 2.0)
        for name, values in (("W1", w1), ("JS", js))
    }
    errors = {"W1_error": np.abs(w1 - closed["W1"]), "JS_error": np.abs(js - closed["JS"])}
    return Plate({"": figure}, numbers | {name: float(e.max()) for name, e in errors.items()})


def wasserstein(shift: float) -> float:
    r"""Computes :math:`W_1` by the library, between the quantiles of the two laws."""

    x = midpoints(MIDPOINTS)
    return float(wasserstein_1d(x, x + shift, p=1))


def jensen_shannon(shift: float) -> float:
    r"""Computes the Jensen-Shannon divergence of the densities by a sum over cells, in nats."""

    t = torch.linspace(-2, 3, 5 * CELLS + 1, dtype=torch.float64)[:-1] + 0.5 / CELLS
    p, q = ((t >= s) & (t < s + 1) for s in (0.0, shift))
    p, q = p.double() / p.sum(), q.double() / q.sum()
    middle = (p + q) / 2
    return float((torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).nansum() / 2)

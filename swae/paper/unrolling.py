r"""Figure 7: a curved sheet in three dimensions unrolled to the square, from several starts.

The sheet is an S: :math:`x = (\sin t, \, \mathrm{sign}(t) (\cos t - 1), \, h)` with
:math:`t \sim \mathcal{U}[-\pi, \pi]` and :math:`h \sim \mathcal{U}[-2, 2]`. An encoder
of it to the uniform law on the square that is also to be decoded has to lay it flat: neighbours
on the sheet, which share a colour, stay neighbours. Which way round it lies is up to the initial
weights.
"""

__all__ = ["draw"]

from typing import Any, cast

import numpy as np
from mpl_toolkits.mplot3d import Axes3D

from ..canvas import GREY, SMALL, canvas, panel
from ..plotting import plane
from .studio import Plate, Studio

SEEDS = 5
DOTS: dict[str, Any] = {"cmap": "viridis", "s": 3, "linewidths": 0, "rasterized": True}
LIMITS = (-1.3, 1.3, -1.3, 1.3)
WORDS = (
    *("--prior", "uniform", "--reconstruction", "mse", "--output", "linear"),
    *("--standardize", "false", "--reg-weight", "1"),
    *("--learning-rate", "0.005", "--batch-size", "100"),
)


def draw(studio: Studio) -> Plate:
    n = 1000 if studio.quick else 5000
    x, _ = sheet(n, seed=0)
    x_test, t_test = sheet(2000, seed=1)
    file = studio.store(f"sheet-{n}", x=x, x_test=x_test)

    figure = canvas(2150, 480)
    ax = cast(Axes3D, figure.add_axes((0.0, 0.06, 0.17, 0.84), projection="3d"))
    a, b, h = x_test.T
    ax.scatter(a, h, b, c=t_test, **DOTS)
    ax.set(xticks=[], yticks=[], zticks=[])
    ax.set_box_aspect((2, 4, 4), zoom=1.25)
    ax.view_init(elev=12, azim=-70)

    numbers = {}
    for seed in range(SEEDS):
        model = studio.train(
            f"sheet-{seed}",
            [file, *WORDS, "--seed", str(seed), "--max-epochs", "20" if studio.quick else "40"],
        )
        z, evaluation = model.transform(x_test), model.evaluate(x_test)
        place = panel(figure, 450 + seed * 336, 80, 310, 310)
        plane(place, f"start {seed + 1}", LIMITS, ("$z_1$", "" if seed else "$z_2$"))
        place.scatter(z[:, 0], z[:, 1], c=t_test, **DOTS)
        place.set_title(
            f"SW2 {evaluation.match.sw2:.5f}", loc="right", fontsize=SMALL, color=GREY, pad=8
        )
        numbers[f"start_{seed + 1}"] = {
            "mse": evaluation.mse,
            "sw2": evaluation.match.sw2,
            "sw2_null": evaluation.match.sw2_null,
            "outside": evaluation.match.outside,
        }
    return Plate({"": figure}, numbers)


def sheet(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Draws points of the sheet and their place :math:`t` along it."""

    rng = np.random.default_rng(seed)
    t = rng.uniform(-np.pi, np.pi, n)
    x = np.stack((np.sin(t), np.sign(t) * (np.cos(t) - 1), rng.uniform(-2, 2, n)), axis=1)
    return x.astype(np.float32), t

r"""Draws a heart to pull codes into: ``python docs/priors/heart.py heart.png``.

It is where :math:`(x^2 + y^2 - 1)^3 \leq x^2 y^3`. Each pixel is as dark as its share inside,
which is counted on a finer lattice.
"""

import sys

import numpy as np
from PIL import Image


def heart(side: int = 256, finer: int = 4) -> Image.Image:
    r"""Draws a black heart on white, as wide as the picture and in its middle."""

    n = side * finer
    x = ((np.arange(n) + 0.5) / n * 2 - 1) * 1.16
    x, y = np.meshgrid(x, 0.13 - x)
    inside = (x**2 + y**2 - 1) ** 3 <= x**2 * y**3
    share = inside.reshape(side, finer, side, finer).mean(axis=(1, 3))
    return Image.fromarray(np.round(255 * (1 - share)).astype(np.uint8))


if __name__ == "__main__":
    heart().save(sys.argv[1], optimize=True)

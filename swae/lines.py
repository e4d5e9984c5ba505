r"""Vectors and series as lines in small cells, all on one scale.

A vector is one line. A series of :math:`c` channels is one line for each of the first five, told
apart by their colours. Cells may be placed anywhere: in a grid, along a path, or over a plane.
"""

__all__ = ["Lines", "channels", "draw_line_map", "draw_lines", "scale_of_lines", "span"]

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import NDArray

from .canvas import BLUE, ORANGE, PALE, SOLID, Dashes
from .montage import Extent

COLOURS = (BLUE, ORANGE, "#3f9b57", "#8a5bb0", "#c2474f")
r"""The colours of channels; those beyond are not drawn."""


class Lines(NamedTuple):
    r"""A line for each cell, in one style."""

    values: NDArray[Any]  # (n, d)
    colour: str = BLUE
    dashes: Dashes = SOLID
    width: float = 1.4  # points


def channels(x: NDArray[Any], colour: str | None = None, width: float = 1.4) -> list[Lines]:
    r"""Returns the lines of vectors (n, d), or of series (n, c, l) a channel after the other."""

    series = x[:, None] if x.ndim == 2 else x[:, : len(COLOURS)]
    return [
        Lines(values, colour or own, width=width)
        for values, own in zip(series.swapaxes(0, 1), COLOURS, strict=False)
    ]


def draw_lines(
    ax: Axes,
    corner: NDArray[Any],
    size: tuple[float, float],
    parts: Sequence[Lines],
    inset: tuple[float, float] = (8, 8),
) -> None:
    r"""Draws row i of every part as a line in cell i, all on one scale.

    Arguments:
        ax: The axes, whose units the lengths below have.
        corner: The lower left corner of each cell, with shape :math:`(n, 2)`.
        size: The width and the height of every cell.
        parts: The lines, the lowest first.
        inset: The margins within a cell, to the sides and above and below.
    """

    (w, h), (side, below) = size, inset
    box = np.array([(0, 0), (w, 0), (w, h), (0, h)])
    ax.add_collection(PolyCollection(list(corner[:, None] + box), facecolor=PALE, linewidth=0))

    low, high = span([part.values for part in parts])
    for values, colour, dashes, width in parts:
        d = values.shape[1]
        across = np.linspace(side, w - side, d) if d > 1 else np.array([w / 2])
        up = below + (h - 2 * below) * (values - low) / ((high - low) or 1.0)
        paths = corner[:, None] + np.stack((np.broadcast_to(across, up.shape), up), axis=-1)
        ax.add_collection(
            LineCollection(list(paths), colors=colour, linestyle=dashes, linewidth=width)
        )
        if d < 4:  # a line of so few points hardly shows where they are
            x, y = paths.reshape(-1, 2).T
            ax.scatter(x, y, s=14, color=colour, linewidths=0)


def draw_line_map(ax: Axes, x: NDArray[Any], limits: Extent) -> None:
    r"""Draws what the codes of a lattice decode to, k * k vectors or series, each in its cell."""

    x0, x1, y0, y1 = limits
    k = math.isqrt(len(x))
    w, h = (x1 - x0) / k, (y1 - y0) / k
    i, j = np.divmod(np.arange(k * k), k)
    corners = np.stack((x0 + (j + 0.03) * w, y0 + (i + 0.03) * h), axis=-1)  # a gap between two
    width = float(np.clip(16 / k, 0.7, 1.4))
    parts = channels(x, width=width)
    draw_lines(ax, corners, (0.94 * w, 0.94 * h), parts, inset=(0.08 * w, 0.08 * h))


def span(parts: Sequence[NDArray[Any]]) -> tuple[float, float]:
    r"""Returns the lowest and the highest of all values."""

    return min(float(part.min()) for part in parts), max(float(part.max()) for part in parts)


def scale_of_lines(parts: Sequence[NDArray[Any]]) -> str:
    r"""Says on what scale vectors or series are drawn, and which channels are."""

    few = len(COLOURS)
    low, high = span([part[:, :few] if part.ndim == 3 else part for part in parts])
    note = f"every cell from {low:.3g} to {high:.3g}".replace("-", "\N{MINUS SIGN}")
    if parts[0].ndim == 3 and parts[0].shape[1] > few:
        note += f"; the first {few} of {parts[0].shape[1]} channels"
    return note

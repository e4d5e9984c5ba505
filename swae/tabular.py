r"""Figures of the rows of a table, a small panel for each column in its own units.

One scale for all columns would show nothing but the column with the largest numbers. So samples
are histograms, with the data in grey behind them, and clouds over the pairs :math:`(i, j)` of
columns whose correlation :math:`|\rho_{ij}|` is highest; reconstructions are output against
input, with the share of the variance that is kept,

.. math:: R^2_j = 1 - \frac{\sum_n (\hat x_{nj} - x_{nj})^2}{\sum_n (x_{nj} - \bar x_j)^2} .

Where a row has to be one line, as along a walk, its entries are standardised (:class:`Columns`).
"""

__all__ = ["Columns", "agreements", "histograms"]

import textwrap
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .canvas import BLUE, GREY, SMALL, canvas, dress, key, legend, panel, write
from .montage import Array, Floats, as_array

ACROSS = 5
r"""The most panels in a row, and the most pairs of columns that are drawn."""

BACK = "#c3c8cf"
r"""The grey of data behind samples."""

BAND = "#e6e9ed"

WIDTH, HEIGHT, GAP, BETWEEN = 270, 190, 62, 112  # pixels


class Columns(NamedTuple):
    r"""The columns of a table: their names, means and deviations, the latter where known.

    Example:
        >>> Columns(["a", "b"], np.array([1.0, 10.0]), np.array([1.0, 5.0])).standard([[2.0, 5.0]])
        array([[ 1., -1.]])
    """

    names: Sequence[str]
    mean: Floats | None = None
    deviation: Floats | None = None

    def standard(self, x: Any) -> NDArray[Any]:  # noqa: ANN401 - an array
        r"""Returns rows, with shape (*, d), in deviations from the mean, if these are known."""

        array = np.asarray(x)
        if self.mean is None or self.deviation is None:
            return array
        return (array - self.mean) / self.deviation


def histograms(x: Array, columns: Columns, data: Array | None = None) -> Figure:
    r"""Draws generated rows: a histogram of each column, and the most correlated pairs.

    Arguments:
        x: The samples, with shape :math:`(n, d)`.
        columns: The columns. Without data the mean and deviation are a grey band.
        data: What the samples should look like, with shape :math:`(m, d)`, in grey behind them.

    Returns:
        The figure; its first d axes are the columns.

    Raises:
        ValueError: If a shape is not as above, or the number of names differs.

    Example:
        >>> figure = histograms(np.eye(3), Columns(["a", "b", "c"]))
        >>> [ax.get_title(loc="left") for ax in figure.axes[:3]]
        ['a', 'b', 'c']
    """

    x = rows_of("x", x, columns)
    data = None if data is None else rows_of("data", data, columns)
    parts = [x] if data is None else [data, x]
    paint = [BLUE] if data is None else [BACK, BLUE]
    pairs = correlated(parts[0])
    figure, panels = board(len(columns.names), len(pairs), note_on(columns, data))
    for j, (ax, name) in enumerate(zip(panels, columns.names, strict=False)):
        shown = [part[:, j] for part in parts]
        if data is None and columns.mean is not None and columns.deviation is not None:
            mean, deviation = columns.mean[j], columns.deviation[j]
            ax.axvspan(mean - deviation, mean + deviation, color=BAND, zorder=0)
            shown.append(mean + np.array([-2, 2]) * deviation)
        column(ax, name, limits := limits_of(shown))
        count = int(np.clip(np.sqrt(len(x)), 10, 30))
        edges = np.linspace(*limits, count + 1)
        for part, colour in zip(parts, paint, strict=True):
            within = part[:, j].clip(*limits)  # what lies beyond stands in the last bin
            heights, _ = np.histogram(within, edges, density=True)
            filled = colour == BACK or data is None
            ax.stairs(heights, edges, fill=filled, color=colour, linewidth=0 if filled else 1.6)
        ax.set_ylim(bottom=0)
    for ax, (i, j) in zip(panels[len(columns.names) :], pairs, strict=True):
        column(ax, "", limits_of([part[:, i] for part in parts]))
        ax.set_ylim(limits_of([part[:, j] for part in parts]))
        ax.set_xlabel(short(columns.names[i]), fontsize=SMALL)
        ax.set_ylabel(short(columns.names[j], 14), fontsize=SMALL)
        for part, colour in zip(parts, paint, strict=True):
            dots(ax, part[:, i], part[:, j], colour)
    if data is not None:
        legend(figure, [key("data", BACK, None), key("samples", BLUE, None)])
    return figure


def agreements(x: Array, x_hat: Array, columns: Columns) -> Figure:
    r"""Draws reconstructed rows: of each column the output against the input.

    Arguments:
        x: The inputs, with shape :math:`(n, d)`.
        x_hat: The outputs, of the same shape.
        columns: The columns.

    Returns:
        The figure; its axes are the columns.

    Raises:
        ValueError: If a shape is not as above, or the number of names differs.

    Example:
        >>> figure = agreements(np.eye(2), np.eye(2), Columns(["a", "b"]))
        >>> [ax.texts[0].get_text() for ax in figure.axes]
        ['R² 1.00', 'R² 1.00']
    """

    x, x_hat = rows_of("x", x, columns), rows_of("x_hat", x_hat, columns)
    if x.shape != x_hat.shape:
        raise ValueError(f"x_hat has to have the shape {x.shape}, but has {x_hat.shape}.")
    note = f"output against input of {len(x):,} samples, each column in its own units"
    figure, panels = board(len(columns.names), 0, note)
    for ax, name, a, b in zip(panels, columns.names, x.T, x_hat.T, strict=True):
        limits = limits_of([a, b])
        column(ax, name, limits)
        ax.set_ylim(limits)
        ax.axline((limits[0], limits[0]), (limits[1], limits[1]), color=GREY, linewidth=0.8)
        dots(ax, a, b, BLUE)
        spread = np.square(a - a.mean()).sum()
        kept = f"R² {1 - np.square(b - a).sum() / spread:.2f}" if spread > 0 else "constant"
        kept = kept.replace("-", "\N{MINUS SIGN}")
        ax.text(0.04, 0.95, kept, transform=ax.transAxes, va="top", fontsize=SMALL, color=GREY)
    return figure


def rows_of(name: str, x: Array, columns: Columns) -> Floats:
    array = as_array(name, x, "n d").astype(np.float64)
    if array.shape[1] != len(columns.names):
        raise ValueError(
            f"{name} has to have {len(columns.names)} columns, one for each name, but has "
            f"{array.shape[1]}."
        )
    return array


def note_on(columns: Columns, data: Floats | None) -> str:
    note = "density of each column in its own units"
    if len(columns.names) > 1:
        note += ", and the most correlated pairs" if len(columns.names) > 3 else ", and the pairs"
    if data is None and columns.mean is not None:
        note += "; bands: the training data's mean and deviation"
    return note


def correlated(x: Floats) -> list[tuple[int, int]]:
    r"""Returns the pairs of columns of the highest correlation, or all pairs of few columns."""

    pairs = list(combinations(range(x.shape[1]), 2))
    deviation = x.std(axis=0)
    y = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    rho = np.abs(y.T @ y)
    return sorted(pairs, key=lambda pair: -rho[pair])[:ACROSS]


def limits_of(parts: Sequence[Floats]) -> tuple[float, float]:
    r"""Returns the limits that hold all but the farthest few of each part, with a margin."""

    ends = [np.quantile(part, (0.002, 0.998)) for part in parts]
    low, high = float(min(a for a, _ in ends)), float(max(b for _, b in ends))
    margin = 0.04 * (high - low) or 0.5 * max(1.0, abs(low))
    return low - margin, high + margin


def board(d: int, pairs: int, note: str) -> tuple[Figure, list[Axes]]:
    r"""Lays out a panel for each column, and below them a row for pairs."""

    across = min(ACROSS, max(d, pairs))
    rows = -(-d // across) + (pairs > 0)
    width = GAP + across * (WIDTH + GAP)
    lines = textwrap.wrap(note, max(20, width // 12))
    bottom = 76 + 32 * len(lines) + 26 * (pairs > 0)
    figure = canvas(width, bottom + rows * (HEIGHT + BETWEEN) - BETWEEN + 96)
    write(figure, GAP, 16, "\n".join(lines))
    cells = [divmod(i, across) for i in range(d)] + [(rows - 1, i) for i in range(pairs)]
    return figure, [
        panel(
            figure,
            GAP + i * (WIDTH + GAP),
            bottom + (rows - 1 - row) * (HEIGHT + BETWEEN),
            WIDTH,
            HEIGHT,
        )
        for row, i in cells
    ]


def column(ax: Axes, name: str, limits: tuple[float, float]) -> None:
    r"""Turns axes into the panel of a column, whose height needs no numbers."""

    dress(ax, "", ("", ""), size=SMALL)
    ax.set_title(short(name), loc="left", fontsize=SMALL, pad=6)
    ax.set_xlim(limits)
    ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    ax.set_yticks([])
    ax.spines[["top", "right"]].set_visible(False)


def dots(ax: Axes, x: Floats, y: Floats, colour: str) -> None:
    r"""Draws points that shrink with their number."""

    size = float(np.clip(18 * (60 / len(x)) ** 0.5, 2, 14))
    ax.scatter(x, y, s=size, color=colour, alpha=0.8, linewidths=0, rasterized=True)


def short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"

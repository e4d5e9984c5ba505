r"""Figures of an autoencoder: what it rebuilds, what it generates, where its codes lie.

Every function takes tensors or arrays and returns a `matplotlib.figure.Figure`; `save` writes
it. Nothing here draws a sample, runs a network or knows about one, so each picture can be made
again from saved arrays.

The central picture is `triptych`, Figure 3 of Kolouri et al. (2018): samples of the prior
:math:`q_Z`, the codes :math:`z = \phi(x)`, and the pictures :math:`\psi(z)` decoded from a lattice
of codes, all three over the same square of the latent plane:

    extent = extent_of(prior_samples)       # the square
    lattice = latent_grid(extent, k=25)     # its 25 * 25 codes, bottom row first
    figure = triptych(prior_samples, z, labels, decode(lattice), extent=extent)
"""

__all__ = [
    "codes",
    "curves",
    "extent_of",
    "latent_grid",
    "montage",
    "reconstructions",
    "samples",
    "save",
    "triptych",
]

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import combinations
from numbers import Real
from typing import Any, NamedTuple, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from .canvas import (
    BLUE,
    DASHED,
    GREY,
    INK,
    ORANGE,
    PALE,
    SMALL,
    TEXT,
    canvas,
    dress,
    framed,
    key,
    legend,
    panel,
    save,
    show,
    write,
    write_left,
)
from .lines import Lines, channels, draw_line_map, draw_lines, scale_of_lines
from .montage import (
    WIDEST,
    Array,
    Extent,
    Floats,
    as_array,
    as_pictures,
    as_points,
    check_count,
    check_extent,
    extent_of,
    latent_grid,
    latent_map,
    magnification,
    montage,
    mosaic,
)

WORDS = {
    "bce": "cross-entropy",
    "l1": "mean absolute error",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "psnr": "signal-to-noise ratio (dB)",
    "sw2": "SW2 along random directions",
    "sw2_axes": "SW2 along the axes",
    "sw2_principal": "SW2 along principal directions",
    "outside": "share of codes outside the prior",
    "reg_weight": "weight of the penalty",
}
NOT_A_CURVE = {"epoch", "step", "seconds", "val_n", "val_sw2_ratio"}
LONG = 2
r"""The sides' ratio above which an image is long."""

LEAST = 42
r"""The pixels that the shorter side of a long image has, where the longer one has room."""

FAINT = "#b9bec6"
r"""The grey of an input under its output."""

SETTINGS = {"reg_weight", "learning_rate"}
r"""What is drawn only where it changes."""


def triptych(
    prior_samples: Array,
    codes: Array,
    labels: Array | None,
    grid: Array,
    *,
    extent: Sequence[float | int],
    caption: str | None = None,
    prior_labels: Array | None = None,
) -> Figure:
    r"""Draws Figure 3 of the paper: the prior, the codes, and the pictures decoded from a lattice.

    The three panels are windows on the same part of the latent plane, and the picture decoded
    from the code z is drawn around the point z. Codes outside the extent are counted in the
    corner of their panel.

    Arguments:
        prior_samples: Samples of the prior, of shape :math:`(m, 2)`.
        codes: The codes of data, of shape :math:`(n, 2)`.
        labels: The class or another quantity of each code, of shape :math:`(n,)`, or nothing.
            Up to 20 different labels are classes, each with a colour; more are a continuous
            scale.
        grid: The decoded pictures, of shape :math:`(k^2, c, h, w)`, scaled as for `montage`, or
            series :math:`(k^2, c, l)`, in the order of `latent_grid`.
        extent: The limits :math:`(x_0, x_1, y_0, y_1)` of every panel, which the cells of `grid`
            tile.
        caption: A sentence to print below.
        prior_labels: The class of each sample of the prior, of shape :math:`(m,)`, where labels
            choose its component; it has the colour of the codes' class.

    Returns:
        The figure; its first three axes are the panels "prior", "codes" and "decoded".

    Raises:
        ValueError: If a shape is not as above, or the number of pictures is not a square.

    Example:
        >>> import torch
        >>> z, pictures = torch.randn(50, 2), torch.rand(9, 1, 28, 28)
        >>> figure = triptych(torch.randn(50, 2), z, None, pictures, extent=(-3, 3, -3, 3))
        >>> [ax.get_title(loc="left") for ax in figure.axes]
        ['prior', 'codes', 'decoded']
    """

    prior = as_points("prior_samples", prior_samples, dim=2)
    z = as_points("codes", codes, dim=2)
    pictures = as_array("grid", grid, "k*k c h w", "k*k c l")
    limits = x0, x1, y0, y1 = check_extent(extent)
    k = math.isqrt(len(pictures))
    if k * k != len(pictures):
        raise ValueError(f"grid wants k * k pictures, a square number, got {len(pictures)}.")

    picture = latent_map(pictures, k) if pictures.ndim == 4 else None
    prior_colours, colours = colourings(prior_labels, len(prior), labels, len(z))
    width = 640 if picture is None else picture.shape[1]
    if width > 960:  # a panel near 640 pixels wide, on which these fit evenly
        width //= round(width / 640)
    size = (width, round(width * (y1 - y0) / (x1 - x0)))
    figure, panels = windows(3, size, colours, caption or "")

    for ax, title in zip(panels, ("prior", "codes", "decoded"), strict=True):
        plane(ax, title, limits, ("$z_1$", "$z_2$" if ax is panels[0] else ""))
    scatter(panels[0], prior, limits, prior_colours, colour=INK)
    scatter(panels[1], z, limits, colours)
    if picture is None:
        draw_line_map(panels[2], pictures, limits)
    else:
        show(panels[2], picture, limits)
    return figure


def codes(
    z: Array, labels: Array | None, prior_samples: Array, *, prior_labels: Array | None = None
) -> Figure:
    r"""Draws the codes beside the prior that they should follow, in any latent dimension.

    One dimension gives histograms, of the codes by class and of the prior as an outline over
    them. Two give a window on the plane for each. From three on, the windows show the first two
    principal components of the codes, and the prior projected onto the same two directions.

    Arguments:
        z: The codes, of shape :math:`(n, d)`.
        labels: The class or another quantity of each code, of shape :math:`(n,)`, or nothing.
        prior_samples: Samples of the prior, of shape :math:`(m, d)`.
        prior_labels: The class of each sample of the prior, as for `triptych`; of no meaning in
            one dimension.

    Returns:
        The figure; its first axes show the prior, the second the codes, or one shows both.

    Raises:
        ValueError: If the shapes do not agree.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(50, 8))
        >>> codes(z, None, z).axes[0].get_xlabel()
        'component 1 (23% of variance)'
    """

    points = as_points("z", z)
    d = points.shape[1]
    prior = as_points("prior_samples", prior_samples, dim=d)
    prior_colours, colours = colourings(prior_labels, len(prior), labels, len(points))
    if d == 1:
        return code_histograms(points[:, 0], prior[:, 0], colours)

    names = ["$z_1$", "$z_2$"]
    if d > 2:
        points, prior, names = principal(points, prior)

    limits = extent_of(np.concatenate((points, prior)))
    figure, (left, right) = windows(2, (640, 640), colours)
    plane(left, "prior", limits, names)
    plane(right, "codes", limits, (names[0], ""))
    scatter(left, prior, limits, prior_colours, colour=INK)
    scatter(right, points, limits, colours)
    return figure


def principal(z: Floats, prior: Floats) -> tuple[Floats, Floats, list[str]]:
    r"""Returns both projected onto the principal plane of z, and the names of its axes."""

    mean = z.mean(axis=0)
    covariance = (z - mean).T @ (z - mean) / len(z)
    variance, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, :-3:-1]
    # An eigenvector has no sign of its own: the largest entry is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    shares = variance[:-3:-1].clip(0) / max(float(variance.sum()), 1e-300)
    names = [f"component {i} ({s:.0%} of variance)" for i, s in enumerate(shares, start=1)]
    return (z - mean) @ axes, (prior - mean) @ axes, names


def code_histograms(z: Floats, prior: Floats, colours: "Colouring | None") -> Figure:
    r"""Draws codes on the line, stacked by class, under the outline of the prior."""

    colours = colours if colours and colours.names else None  # a stack wants classes
    figure, ax = density("codes under the outline of the prior", "$z$", colours)
    edges = edges_around(prior, z)
    parts, paint = [z], [to_hex(BLUE)]
    if colours is not None:
        parts = [z[colours.values == i] for i in range(len(colours.names))]
        paint = [to_hex(colours.cmap(i)) for i in range(len(parts))]
    weights = [np.full(len(part), 1 / (len(z) * (edges[1] - edges[0]))) for part in parts]
    ax.hist(parts, edges, weights=weights, stacked=True, color=paint, alpha=0.85, linewidth=0)
    ax.hist(prior, edges, density=True, histtype="step", color=INK, linewidth=1.6)
    return figure


def edges_around(prior: Floats, z: Floats) -> list[float]:
    r"""Returns the edges of equal bins over both, two of them where the prior begins and ends."""

    low, high = float(prior.min()), float(prior.max())
    both = np.concatenate((z, prior))
    if high - low < 1e-3 * np.ptp(both) or high == low:  # whose bins would be too many
        return np.histogram_bin_edges(both, bins=bins(both)).tolist()
    k = max(1, round(bins(both) * (high - low) / np.ptp(both)))
    width = (high - low) / k
    before = math.ceil((low - both.min()) / width)
    after = math.ceil((both.max() - high) / width)
    return (low + width * np.arange(-before, k + after + 1)).tolist()


def reconstructions(x: Array, x_hat: Array, *, n: int = 12, caption: str = "") -> Figure:
    r"""Draws the first n inputs above what the autoencoder makes of them.

    Images stand in two rows. Vectors are lines, one cell each, the input solid and the output
    dashed over it; vectors of at most three entries are points, each joined to its output. Of
    series the input is grey under the output; of several channels each has a colour, which is
    pale in the input.

    Arguments:
        x: The inputs, images of shape :math:`(b, c, h, w)`, scaled as for `montage`, series
            :math:`(b, c, l)` or vectors :math:`(b, d)`.
        x_hat: The outputs, of the same shape.
        n: How many to draw, at least 1; all of them if there are fewer.
        caption: A sentence to print below, where images, series or lines are drawn.

    Returns:
        The figure.

    Raises:
        ValueError: If the shapes differ or are not as above.

    Example:
        >>> figure = reconstructions(np.zeros((5, 1, 8, 8)), np.ones((5, 1, 8, 8)))
        >>> [text.get_text() for text in figure.texts]
        ['input', 'output']
    """

    shapes = ("b c h w", "b c l", "b d")
    a = as_array("x", x, *shapes)[: check_count("n", n)]
    b = as_array("x_hat", x_hat, *shapes)[:n]
    if tuple(x.shape) != tuple(x_hat.shape):
        raise ValueError(
            f"x_hat wants the shape of x, {tuple(x.shape)}, got {tuple(x_hat.shape)}."
        )
    if a.ndim < 4:
        return (vectors if a.ndim == 2 else series)([a, b], min(n, 4), caption)

    both = np.stack((as_pictures("x", a), as_pictures("x_hat", b)))
    h, w = both.shape[3:]
    columns = len(a)
    if w > LONG * h:  # several rows of inputs, each above its outputs
        columns = min(len(a), max(1, WIDEST // (w * magnification(both[0], LEAST))))
    rows = -(-len(a) // columns)
    empty = [(0, 0), (0, rows * columns - len(a)), *[(0, 0)] * 3]
    tiles = np.pad(both, empty, constant_values=1).reshape(2, rows, columns, *both.shape[2:])
    picture = mosaic(tiles.swapaxes(0, 1).reshape(-1, *both.shape[2:]), columns, least=LEAST)
    figure = framed(picture, 120, caption)
    below = figure.axes[0].get_window_extent().y0
    for i in range(rows):
        above = below + (rows - 1 - i) / rows * len(picture)
        write_left(figure, 106, above + 0.75 / rows * len(picture), "input")
        write_left(figure, 106, above + 0.25 / rows * len(picture), "output")
    return figure


def samples(x_hat: Array, *, columns: int | None = None, caption: str = "") -> Figure:
    r"""Draws generated samples: a grid of images, a grid of lines, or points in a plane.

    Arguments:
        x_hat: Images of shape :math:`(n, c, h, w)`, scaled as for `montage`, series
            :math:`(n, c, l)` or vectors :math:`(n, d)`. Vectors of two or three entries are
            points in each plane of two coordinates, single numbers a histogram.
        columns: The number of samples in a row, as for `montage`; of no meaning for points.
        caption: A sentence to print below, where images, series or lines are drawn.

    Returns:
        The figure.

    Raises:
        ValueError: If `x_hat` has another shape or scale, or `columns` is below 1.

    Example:
        >>> len(samples(np.zeros((9, 3))).axes)
        3
    """

    array = as_array("x_hat", x_hat, "n c h w", "n c l", "n d")
    n = len(array)
    columns = check_count("columns", columns_for(array) if columns is None else columns)
    if array.ndim < 4:
        return (vectors if array.ndim == 2 else series)([array], columns, caption)
    return framed(mosaic(array, min(columns, n), least=LEAST), caption=caption)


def columns_for(x: NDArray[Any]) -> int:
    r"""Returns the columns of a grid with as many rows, or of long images one near a square."""

    h, w = x.shape[2:] if x.ndim == 4 else (1, 1)
    ratio = h / w if max(h, w) > LONG * min(h, w) else 1
    return math.ceil(math.sqrt(len(x) * ratio))


def vectors(parts: Sequence[NDArray[Any]], columns: int, caption: str) -> Figure:
    r"""Draws samples alone, or inputs and outputs, in the manner that their length asks for."""

    match parts[0].shape[1]:
        case 1 if len(parts) > 1:
            return agreement(*parts)
        case 1:
            figure, ax = density("samples", "$x$")
            ax.hist(parts[0][:, 0], bins=bins(parts[0]), density=True, color=BLUE, linewidth=0)
            return figure
        case 2 | 3:
            return clouds(parts)
        case _:
            return lines(parts, columns, caption)


def lines(parts: Sequence[NDArray[Any]], columns: int, caption: str) -> Figure:
    r"""Draws vectors as lines: the first part solid, the second dashed over it."""

    notes = (caption, scale_of_lines(parts))
    if len(parts) == 1:
        return cells(channels(parts[0]), columns, notes)
    drawn = [Lines(parts[0]), Lines(parts[1], ORANGE, DASHED)]
    handles = [key("input", BLUE), key("output", ORANGE, DASHED)]
    return cells(drawn, columns, notes, handles)


def series(parts: Sequence[NDArray[Any]], columns: int, caption: str) -> Figure:
    r"""Draws series: the inputs pale, and over them the outputs, or samples alone.

    The colours tell channels apart; the input of a single channel is grey.
    """

    drawn = channels(parts[-1])
    several = len(drawn) > 1
    names = ["channel 1", *map(str, range(2, len(drawn) + 1))]
    handles = [key(*pair) for pair in zip(names, (line.colour for line in drawn), strict=True)]
    notes = [caption, scale_of_lines(parts)]
    if len(parts) > 1:
        below = [
            line._replace(colour=paler(line.colour) if several else FAINT)
            for line in channels(parts[0], width=3.2)
        ]
        notes.append("input wide and pale, output narrow in full colour" if several else "")
        if not several:
            handles = [key("input", FAINT), key("output", drawn[0].colour)]
        drawn = below + drawn
    return cells(drawn, columns, notes, handles if several or len(parts) > 1 else ())


def paler(colour: str) -> str:
    r"""Returns a colour mixed with white."""

    r, g, b = to_rgb(colour)
    return to_hex((0.4 * r + 0.6, 0.4 * g + 0.6, 0.4 * b + 0.6))


def cells(
    drawn: Sequence[Lines], columns: int, notes: Sequence[str], handles: Sequence[Line2D] = ()
) -> Figure:
    r"""Draws row i of every part in cell i, on one scale, with notes below."""

    n, w, h, gap = len(drawn[0].values), 190, 120, 12
    columns = min(columns, n)
    rows = -(-n // columns)
    width, height = columns * (w + gap) - gap, rows * (h + gap) - gap
    top = 56 if handles else 16
    text = [row for note in notes for row in textwrap.wrap(note, max(20, width // 12))]
    bottom = 24 + 32 * len(text)
    figure = canvas(width + 32, height + bottom + top)
    ax = panel(figure, 16, bottom, width, height)
    ax.set_axis_off()
    ax.set(xlim=(0, width), ylim=(0, height))

    cell = np.arange(n)
    corner = np.stack((cell % columns * (w + gap), (rows - 1 - cell // columns) * (h + gap)), 1)
    draw_lines(ax, corner, (w, h), drawn)
    write(figure, 16, 18, "\n".join(text))
    if handles:
        legend(figure, handles)
    return figure


def clouds(parts: Sequence[NDArray[Any]]) -> Figure:
    r"""Draws vectors of two or three entries as points; outputs are joined to their inputs."""

    paired = len(parts) > 1
    title = "reconstructions" if paired else "samples"
    pairs = list(combinations(range(parts[0].shape[1]), 2))
    figure, panels = windows(len(pairs), (640, 640), gap=136)
    for ax, (i, j) in zip(panels, pairs, strict=True):
        points = [part[:, (i, j)].astype(np.float64) for part in parts]
        limits = extent_of(np.concatenate(points))
        plane(ax, title if ax is panels[0] else "", limits, (f"$x_{i + 1}$", f"$x_{j + 1}$"))
        if paired:
            joins = list(np.stack(points, axis=1))
            ax.add_collection(LineCollection(joins, colors=GREY, linewidth=0.8, zorder=0.5))
        for part, colour in zip(points, (BLUE, ORANGE), strict=False):
            scatter(ax, part, None if paired else limits, colour=colour)
    if paired:
        legend(figure, [key("input", BLUE, None), key("output", ORANGE, None)])
    return figure


def agreement(x: NDArray[Any], x_hat: NDArray[Any]) -> Figure:
    r"""Draws single numbers, output against input."""

    points = np.concatenate((x, x_hat), axis=1).astype(np.float64)
    figure, (ax,) = windows(1, (640, 640))
    plane(ax, "output against input", extent_of(points), ("input", "output"))
    ax.axline((0, 0), slope=1, color=GREY, linewidth=0.8, zorder=0.5)
    scatter(ax, points)
    return figure


def curves(epochs: Sequence[Mapping[str, object]]) -> Figure:
    r"""Draws how each quantity changed from epoch to epoch, a small panel for each.

    A quantity `bce` and its value on held-out data, `val_bce`, share a panel. The value
    `val_sw2_null` that `val_sw2` would have if the codes followed the prior exactly is a dashed
    line, at its median over the epochs; such distances are drawn on a logarithmic axis.

    Arguments:
        epochs: A row per epoch, as in `metrics.jsonl`. Numbers are drawn except `epoch`, which
            counts them from 1 by default, `step` and `seconds`. A quantity that a row lacks, or
            gives as nothing or NaN, is passed over: its line joins the rows that have it.

    Returns:
        The figure; the axes are the panels, each titled with its quantity.

    Raises:
        ValueError: If there is no row or no number to draw.

    Example:
        >>> figure = curves([{"loss": 0.9, "bce": 0.5}, {"loss": 0.7, "bce": 0.4}])
        >>> [ax.get_title(loc="left") for ax in figure.axes]
        ['loss', 'cross-entropy']
    """

    keys = list(dict.fromkeys(key for row in epochs for key in row))
    series = {key: column(epochs, key) for key in keys if key not in NOT_A_CURVE}
    series = {
        key: values
        for key, values in series.items()
        if np.isfinite(values).any() and not (key in SETTINGS and len(set(values)) == 1)
    }
    quantities = list(
        dict.fromkeys(key.removeprefix("val_") for key in series if not key.endswith("_null"))
    )
    if not quantities:
        raise ValueError(
            f"epochs wants rows with at least one number to draw, got {len(epochs)} rows with "
            f"the keys {', '.join(keys) or 'none'}."
        )

    at = column(epochs, "epoch")
    at = np.where(np.isfinite(at), at, np.arange(1, len(at) + 1))
    handles = [key("train", BLUE)] if any(name in series for name in quantities) else []
    if any(name.startswith("val_") for name in series):
        handles.append(key("held out", ORANGE))
    if any(name.endswith("_null") for name in series):
        handles.append(key("null: prior against prior", GREY, DASHED))
    handles = handles if len(handles) > 1 else []

    figure, panels = small_multiples(len(quantities), top=100 if handles else 56)
    for ax, quantity in zip(panels, quantities, strict=True):
        curve(ax, at, quantity, series)
    if handles:
        legend(figure, handles)
    return figure


def column(epochs: Sequence[Mapping[str, object]], name: str) -> Floats:
    r"""Returns a quantity over the rows, NaN where it is no finite number."""

    values = [row.get(name) for row in epochs]
    numbers = [float(v) if isinstance(v, Real) else math.nan for v in values]
    return np.array([v if math.isfinite(v) else math.nan for v in numbers])


def curve(ax: Axes, at: Floats, quantity: str, series: Mapping[str, Floats]) -> None:
    r"""Draws one quantity, of training and of held-out data, with the null of either."""

    names = [name for name in (quantity, f"val_{quantity}") if name in series]
    nulls = [series[f"{name}_null"] for name in names if f"{name}_null" in series]
    drawn = np.concatenate([series[name] for name in names])
    log = bool((nulls or quantity == "sw2") and np.nanmin(drawn) > 0)

    for name in names:
        there = np.isfinite(series[name])
        ax.plot(
            at[there],
            series[name][there],
            color=ORANGE if name.startswith("val_") else BLUE,
            linewidth=1.6,
            marker="o" if there.sum() <= 12 else "",
            markersize=4,
        )
    for values in nulls:
        level = float(np.nanmedian(values))
        if level > 0 or not log:
            ax.axhline(level, color=GREY, linestyle=DASHED, linewidth=1.2)

    dress(ax, WORDS.get(quantity, quantity.replace("_", " ")), ("epoch", ""), size=SMALL)
    ax.spines[["top", "right"]].set_visible(False)
    if log:
        ax.set_yscale("log")
    else:
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.grid(axis="y", color=PALE, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if at.min() == at.max():
        ax.set_xlim(at[0] - 0.5, at[0] + 0.5)


class Colouring(NamedTuple):
    r"""How labels become colours."""

    values: NDArray[Any]  # (n,) numbers for the colour map
    cmap: Colormap
    norm: Normalize
    names: list[str]  # of the classes, empty when the labels are a continuous quantity


def colouring(labels: Array | None, n: int) -> Colouring | None:
    r"""Gives up to 20 different labels a colour each, and more a continuous scale."""

    if labels is None:
        return None
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if array.shape != (n,):
        raise ValueError(f"labels wants the shape ({n},), one per code, got {array.shape}.")

    classes, index = np.unique(array, return_inverse=True)
    if len(classes) > 20:
        values = array.astype(np.float64) if array.dtype.kind in "biuf" else index
        norm = Normalize(float(values.min()), float(values.max()))
        return Colouring(values, matplotlib.colormaps["viridis"], norm, [])

    # The digit 3 keeps its colour in a batch without a 2.
    named = array.dtype.kind in "iu" and classes.min() >= 0 and classes.max() < 20
    slots = classes if named else np.arange(len(classes))
    table = matplotlib.colormaps["tab10" if slots.max() < 10 else "tab20"]
    cmap = ListedColormap([table(int(slot)) for slot in slots])
    norm = BoundaryNorm(np.arange(len(classes) + 1) - 0.5, len(classes))
    names = [f"{c:g}" if array.dtype.kind == "f" else str(c) for c in classes]
    return Colouring(index, cmap, norm, names)


def colourings(
    first: Array | None, m: int, labels: Array | None, n: int
) -> tuple[Colouring | None, Colouring | None]:
    r"""Gives the labels of the prior's samples and of the codes the same colours."""

    own, colours = colouring(first, m), colouring(labels, n)
    if first is None or labels is None:
        return own, colours
    both = cast("Colouring", colouring(np.concatenate([np.asarray(first), labels]), m + n))
    return both._replace(values=both.values[:m]), both._replace(values=both.values[m:])


def scatter(
    ax: Axes,
    points: Floats,
    limits: Extent | None = None,
    colours: Colouring | None = None,
    colour: str = BLUE,
) -> None:
    r"""Draws points whose size and opacity shrink with their number, in no order of class.

    Those that the limits hide are counted in the panel's corner.
    """

    n = len(points)
    order = np.random.default_rng(0).permutation(n)  # else the last class covers the others
    ax.scatter(
        points[order, 0],
        points[order, 1],
        s=float(np.clip(18 * (300 / n) ** 0.48, 1, 18)),
        alpha=float(np.clip(0.9 * (300 / n) ** 0.16, 0.4, 0.9)),
        c=colour if colours is None else colours.values[order],
        cmap=colours and colours.cmap,
        norm=colours and colours.norm,
        linewidths=0,
        rasterized=True,
    )
    if limits is not None:
        x0, x1, y0, y1 = limits
        inside = (points >= (x0, y0)).all(axis=1) & (points <= (x1, y1)).all(axis=1)
        if hidden := int((~inside).sum()):
            ax.set_title(f"{hidden:,} not shown", loc="right", fontsize=SMALL, color=GREY, pad=8)


def windows(
    count: int,
    size: tuple[int, int],
    colours: Colouring | None = None,
    caption: str = "",
    gap: int = 36,
) -> tuple[Figure, list[Axes]]:
    r"""Lays out panels of a size in a row, the legend of the labels after the second."""

    (w, h), left, top, bar = size, 136, 52, bar_width(colours)
    width = left + count * w + (count - 1) * gap + bar + 24
    rows = textwrap.wrap(caption, max(20, (width - left) // 12))
    bottom = 84 + (20 + 32 * len(rows) if rows else 0)

    figure = canvas(width, top + h + bottom)
    places = [left + i * (w + gap) + (bar if i > 1 else 0) for i in range(count)]
    panels = [panel(figure, place, bottom, w, h) for place in places]
    if colours is not None:
        draw_bar(panel(figure, places[1] + w + 14, bottom, 16, h), colours)
    if rows:
        write(figure, left, 20, "\n".join(rows))
    return figure, panels


def density(title: str, name: str, colours: Colouring | None = None) -> tuple[Figure, Axes]:
    r"""Lays out one panel for histograms, the legend of the labels beside it."""

    figure = canvas(1160 + bar_width(colours), 640)
    ax = panel(figure, 136, 84, 1000, 500)
    dress(ax, title, (name, "density"))
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0)
    if colours is not None:
        draw_bar(panel(figure, 1150, 84, 16, 500), colours)
    return figure, ax


def small_multiples(count: int, top: int) -> tuple[Figure, list[Axes]]:
    r"""Lays out small panels, at most three in a row."""

    columns = 2 if count == 4 else min(3, count)
    rows = -(-count // columns)
    w, h, left, gap_x, gap_y, bottom = 480, 290, 136, 136, 148, 84
    figure = canvas(
        left + columns * (w + gap_x) - gap_x + 30, bottom + rows * (h + gap_y) - gap_y + top
    )
    corners = [
        (left + i % columns * (w + gap_x), bottom + (rows - 1 - i // columns) * (h + gap_y))
        for i in range(count)
    ]
    return figure, [panel(figure, x, y, w, h) for x, y in corners]


def bins(x: NDArray[Any]) -> int:
    return int(np.clip(math.sqrt(len(x)), 12, 60))


def bar_width(colours: Colouring | None) -> int:
    r"""Returns the pixels that the legend of the labels takes, with its names and a gap."""

    if colours is None:
        return 0
    return 50 + 14 * max((len(name) for name in colours.names), default=4)


def draw_bar(ax: Axes, colours: Colouring) -> None:
    r"""Draws the legend of the labels: one block per class, or a continuous scale."""

    mappable = ScalarMappable(colours.norm, colours.cmap)
    bar = ax.figure.colorbar(mappable, cax=ax, drawedges=bool(colours.names))
    bar.outline.set_visible(False)
    if colours.names:
        bar.set_ticks(list(range(len(colours.names))), labels=colours.names)
        bar.dividers.set(color="white", linewidth=1.5)
        ax.minorticks_off()
    ax.tick_params(length=0, pad=4, labelsize=TEXT, labelcolor=INK)


def plane(ax: Axes, title: str, limits: Extent, names: Sequence[str]) -> None:
    r"""Turns axes into a window on a plane: equal units, a few ticks, named coordinates.

    An empty second name says that the panel to the left shows the same axis.
    """

    dress(ax, title, names)
    ax.set(xlim=limits[:2], ylim=limits[2:], aspect="equal")
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.tick_params(labelleft=bool(names[1]))

r"""Pictures of an autoencoder: what it rebuilds, what it generates, where its codes lie.

Every function takes tensors or arrays and returns a `matplotlib.figure.Figure`; `save` writes
it. Nothing here draws a sample, runs a network or knows about one, so each picture can be made
again from saved arrays. Only matplotlib's object-oriented side is used: no `pyplot`, no window,
no global setting changed, hence safe in threads and on machines without a screen.

The central picture is `triptych`, Figure 3 of Kolouri et al. (2018): samples of the prior
\(q_Z\), the codes \(z = \phi(x)\), and the pictures \(\psi(z)\) decoded from a lattice of codes,
all three over the same square of the latent plane:

    extent = extent_of(prior_samples)       # the square
    lattice = latent_grid(extent, k=25)     # its 25 * 25 codes, bottom row first
    figure = triptych(prior_samples, z, labels, decode(lattice), extent=extent)

Figures of images are laid out in whole pixels, so that one pixel of data becomes a block of
n x n pixels on the screen and a gap between two pictures has the same width everywhere.
"""

import math
import os
import textwrap
import uuid
from collections.abc import Mapping, Sequence
from itertools import combinations
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

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

Array: TypeAlias = NDArray[Any] | Tensor
Floats: TypeAlias = NDArray[np.float64]
Pixels: TypeAlias = NDArray[np.float32]
Extent: TypeAlias = tuple[float, float, float, float]
Dashes: TypeAlias = tuple[float, Sequence[float]]

DPI = 160  # 128 + 32: for such a number n / DPI * DPI == n in floats, whole pixels stay whole
INK, GREY, PALE = "#2a2e35", "#868d97", "#f1f3f5"
BLUE, ORANGE = "#2f6db3", "#e0752d"
TITLE, TEXT, SMALL = 13, 11, 10  # points
SOLID, DASHED = (0.0, ()), (0.0, (3.0, 1.5))

WORDS = {
    "bce": "cross-entropy",
    "l1": "mean absolute error",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "sw2": "sliced Wasserstein, squared",
    "lr": "learning rate",
}
NOT_A_CURVE = {"epoch", "step", "seconds"}


# What comes in


def _array(name: str, value: Array, *shapes: str) -> NDArray[Any]:
    """Returns the value as an array of real, finite numbers in one of the shapes: 'n d', ..."""

    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    array = np.asarray(value)

    if array.ndim not in {len(shape.split()) for shape in shapes} or array.size == 0:
        wanted = " or ".join(f"({shape.replace(' ', ', ')})" for shape in shapes)
        raise ValueError(f"{name} wants the shape {wanted}, not empty, got {array.shape}.")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} wants real numbers, got the data type {array.dtype}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} wants finite numbers, got NaN or infinity among them.")

    return array


def _points(name: str, value: Array, dim: int | None = None) -> Floats:
    array = _array(name, value, f"n {dim}" if dim else "n d").astype(np.float64)

    if dim and array.shape[1] != dim:
        raise ValueError(f"{name} wants the shape (n, {dim}), got {array.shape}.")

    return array


def _images(name: str, value: Array) -> Pixels:
    """Returns (n, h, w) or (n, h, w, 3) floats in [0, 1]."""

    array = _array(name, value, "n c h w")

    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    low, high = float(array.min()), float(array.max())
    if low < -1 or high > 2:  # an unbounded decoder strays a little; this is another scale
        raise ValueError(
            f"{name} wants uint8 or values in [0, 1], got {array.dtype} from {low:g} to {high:g}."
        )

    array = array.astype(np.float32).clip(0, 1)
    return array.transpose(0, 2, 3, 1) if array.shape[1] == 3 else array[:, 0]


def _planes(name: str, value: Array) -> Pixels:
    """Returns (n, 1, h, w) or (n, 3, h, w) floats in [0, 1], what bytes and floats share."""

    tiles = _images(name, value)
    return tiles.transpose(0, 3, 1, 2) if tiles.ndim == 4 else tiles[:, None]


def _count(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} wants a whole number of at least 1, got {value}.")
    return value


def _limits(extent: Sequence[float | int]) -> Extent:
    if len(extent) != 4 or not extent[0] < extent[1] or not extent[2] < extent[3]:
        raise ValueError(
            f"extent wants (x0, x1, y0, y1) with x0 < x1 and y0 < y1, got {tuple(extent)}."
        )
    x0, x1, y0, y1 = map(float, extent)
    return x0, x1, y0, y1


# Geometry of the latent plane


def extent_of(prior_samples: Array) -> Extent:
    r"""Returns the square of the latent plane that shows the samples with a margin of 5 %.

    A bounded law is held entirely. Of a law with tails, such as the normal, the few samples
    beyond the 99.9 % quantile of either coordinate fall outside, lest they shrink the rest. The
    square is centred at zero when the samples are, to within a tenth of their half-width.

    Arguments:
        prior_samples: Samples of a prior, of shape (n, 2).

    Returns:
        The limits (x0, x1, y0, y1), with x1 - x0 = y1 - y0 > 0.

    Raises:
        ValueError: If `prior_samples` has another shape or is not finite.

    Example:
        >>> extent_of(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
        (-1.05, 1.05, -1.05, 1.05)
    """

    z = _points("prior_samples", prior_samples, dim=2)

    low, high = np.quantile(z, (0.001, 0.999), axis=0)
    centre = (low + high) / 2
    if np.abs(centre).max() <= 0.1 * ((high - low).max() / 2):
        centre = np.zeros(2)

    distance = np.abs(z - centre).max(axis=1)
    radius, furthest = np.quantile(distance, 0.998), distance.max()
    if furthest <= 1.1 * radius:  # no tail worth the name: hold everything
        radius = furthest

    half = 1.05 * float(radius) or 1.0  # a single point still wants a square
    x, y = map(float, centre)
    return x - half, x + half, y - half, y + half


def latent_grid(extent: Sequence[float | int], k: int = 25) -> Tensor:
    r"""Returns the codes of a k x k lattice whose cells tile the extent, in `triptych`'s order.

    Row \(i k + j\) is \((x_j, y_i)\) with \(x_j = x_0 + (j + 1/2) (x_1 - x_0) / k\), the centre
    of cell j, and \(y_i\) alike; both ascend, so the bottom row of the lattice comes first.

    Arguments:
        extent: The limits (x0, x1, y0, y1).
        k: The number of cells along each side, at least 1.

    Returns:
        The codes, of shape (k * k, 2), in torch's default data type.

    Raises:
        ValueError: If the limits do not ascend or `k` is below 1.

    Example:
        >>> latent_grid((-1, 1, -1, 1), k=2).tolist()
        [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """

    x0, x1, y0, y1 = _limits(extent)
    centres = (torch.arange(_count("k", k), dtype=torch.float64) + 0.5) / k
    y, x = torch.meshgrid(y0 + (y1 - y0) * centres, x0 + (x1 - x0) * centres, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(k * k, 2).to(torch.get_default_dtype())


# Images


def montage(images: Array, columns: int | None = None, *, pad: int = 1) -> Pixels:
    """Tiles images into one picture, left to right and top to bottom.

    The gaps, and the cells that the last row leaves empty, are white like the page. Values a
    little outside [0, 1], as an unbounded decoder gives them, are clipped.

    Arguments:
        images: Images of shape (n, c, h, w), floats in [0, 1] or uint8. Three channels are
            red, green and blue; of any other number of channels only the first is shown.
        columns: The number of images in a row, by default the least that makes as many columns
            as rows or more.
        pad: The width of the gaps in pixels, at least 0. There is no gap around the whole.

    Returns:
        The picture, of shape (H, W) or (H, W, 3), float32 in [0, 1]. Image i begins at row
        i // columns * (h + pad) and column i % columns * (w + pad).

    Raises:
        ValueError: If `images` has another shape or scale, or a count is too small.

    Example:
        >>> montage(torch.rand(6, 1, 28, 28), columns=3).shape
        (57, 86)
    """

    tiles = _images("images", images)
    n, h, w = tiles.shape[:3]
    columns = _count("columns", math.ceil(math.sqrt(n)) if columns is None else columns)
    if pad < 0:
        raise ValueError(f"pad wants a whole number of at least 0, got {pad}.")

    rows = -(-n // columns)
    height, width = rows * (h + pad) - pad, columns * (w + pad) - pad
    picture = np.ones((height, width, *tiles.shape[3:]), dtype=np.float32)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (h + pad), i % columns * (w + pad)
        picture[top : top + h, left : left + w] = tile

    return picture


def _enlarged(images: NDArray[Any], scale: int) -> NDArray[Any]:
    """Returns the images with every pixel a block of scale x scale."""

    return images.repeat(scale, axis=2).repeat(scale, axis=3)


def _mosaic(images: NDArray[Any], columns: int | None) -> Pixels:
    """Returns a montage whose tiles are near 88 pixels wide, so that its gaps look thin."""

    return montage(_enlarged(images, max(1, round(88 / max(images.shape[2:])))), columns, pad=3)


def _tiling(grid: NDArray[Any], k: int) -> Pixels:
    """Returns the k x k pictures, bottom row first, each within a hairline of its own cell."""

    tiles = _enlarged(_planes("grid", grid), max(1, round(640 / (k * grid.shape[-1]))))
    tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.25)
    rows = tiles.reshape(k, k, *tiles.shape[1:])[::-1]  # pictures run down, codes run up
    return montage(rows.reshape(tiles.shape), columns=k, pad=0)


def _show(ax: Axes, picture: Pixels, extent: Extent | None = None) -> None:
    """Draws a picture, white for 1 and black for 0; smooths only where pixels must be dropped."""

    pixels = ax.get_window_extent().width
    interpolation = "nearest" if pixels > picture.shape[1] - 1 else "antialiased"
    ax.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation=interpolation,
        origin="upper",
        extent=extent,
    )


# Figures in pixels


def _figure(width: int, height: int) -> Figure:
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def _panel(figure: Figure, left: int, bottom: int, width: int, height: int) -> Axes:
    w, h = figure.get_size_inches() * DPI
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def _style(ax: Axes, title: str = "") -> None:
    ax.set_title(title, loc="left", fontsize=TITLE, color=INK, pad=8)
    ax.tick_params(which="both", labelsize=TEXT, labelcolor=INK, color=GREY, width=0.8, length=3)
    ax.tick_params(which="minor", labelsize=SMALL, length=2)
    for spine in ax.spines.values():
        spine.set(color=GREY, linewidth=0.8)


def _open(ax: Axes) -> None:
    """Leaves a curve's panel only its two axes."""

    ax.spines[["top", "right"]].set_visible(False)


def _bare(figure: Figure, left: int, bottom: int, width: int, height: int) -> Axes:
    """Returns a panel without axes, for pictures that are their own frame."""

    ax = _panel(figure, left, bottom, width, height)
    ax.set_axis_off()
    return ax


def _label(figure: Figure, x: float, y: float, text: str) -> None:
    """Writes a name that ends at a place in pixels from the lower left corner."""

    w, h = figure.get_size_inches() * DPI
    figure.text(x / w, y / h, text, fontsize=TEXT, color=INK, ha="right", va="center")


def _note(figure: Figure, x: float, y: float, text: str) -> None:
    """Writes small print that begins at a place in pixels from the lower left corner."""

    w, h = figure.get_size_inches() * DPI
    figure.text(x / w, y / h, text, fontsize=SMALL, color=GREY, linespacing=1.35)


# Points and their colours


class _Colouring(NamedTuple):
    """How labels become colours."""

    values: NDArray[Any]  # (n,) numbers for the colour map
    cmap: Colormap
    norm: Normalize
    names: list[str]  # of the classes, empty when the labels are a continuous quantity


def _colouring(labels: Array | None, n: int) -> _Colouring | None:
    if labels is None:
        return None
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if array.shape != (n,):
        raise ValueError(f"labels wants the shape ({n},), one per code, got {array.shape}.")

    classes, index = np.unique(array, return_inverse=True)
    if len(classes) > 20:
        values = array.astype(np.float64) if array.dtype.kind in "biuf" else index
        norm = Normalize(float(values.min()), float(values.max()))
        return _Colouring(values, matplotlib.colormaps["viridis"], norm, [])

    # The digit 3 keeps its colour in a batch without a 2.
    named = array.dtype.kind in "iu" and classes.min() >= 0 and classes.max() < 20
    slots = classes if named else np.arange(len(classes))
    table = matplotlib.colormaps["tab10" if slots.max() < 10 else "tab20"]
    cmap = ListedColormap([table(int(slot)) for slot in slots])
    norm = BoundaryNorm(np.arange(len(classes) + 1) - 0.5, len(classes))
    names = [f"{c:g}" if array.dtype.kind == "f" else str(c) for c in classes]
    return _Colouring(index, cmap, norm, names)


def _scatter(ax: Axes, points: Floats, colours: _Colouring | None, colour: str = BLUE) -> None:
    """Draws points whose size and opacity shrink with their number, in no order of class."""

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


def _plane(ax: Axes, title: str, limits: Extent, names: Sequence[str]) -> None:
    """Turns axes into a window on a plane: equal units, a few ticks, named coordinates.

    An empty second name says that the panel to the left shows the same axis.
    """

    _style(ax, title)
    ax.set(xlim=limits[:2], ylim=limits[2:], aspect="equal")
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set_xlabel(names[0], fontsize=TEXT, color=INK)
    ax.set_ylabel(names[1], fontsize=TEXT, color=INK)
    ax.tick_params(labelleft=bool(names[1]))


def _note_outside(ax: Axes, points: Floats, limits: Extent) -> None:
    """Says in the panel's corner how many points its limits hide."""

    x0, x1, y0, y1 = limits
    inside = (points >= (x0, y0)).all(axis=1) & (points <= (x1, y1)).all(axis=1)
    if hidden := int((~inside).sum()):
        ax.set_title(f"{hidden:,} outside", loc="right", fontsize=SMALL, color=GREY, pad=8)


def _bar_width(colours: _Colouring | None) -> int:
    """Returns the pixels that the legend of the labels takes, with its names and a gap."""

    if colours is None:
        return 0
    return 50 + 14 * max((len(name) for name in colours.names), default=4)


def _bar(ax: Axes, colours: _Colouring) -> None:
    """Draws the legend of the labels: one block per class, or a continuous scale."""

    mappable = ScalarMappable(colours.norm, colours.cmap)
    bar = ax.figure.colorbar(mappable, cax=ax, drawedges=bool(colours.names))
    bar.outline.set_visible(False)
    if colours.names:
        bar.set_ticks(list(range(len(colours.names))), labels=colours.names)
        bar.dividers.set(color="white", linewidth=1.5)
        ax.minorticks_off()
    ax.tick_params(length=0, pad=4, labelsize=TEXT, labelcolor=INK)


def _windows(
    count: int, size: tuple[int, int], colours: _Colouring | None, caption: str, gap: int = 36
) -> tuple[Figure, list[Axes]]:
    """Lays out panels of a size in pixels in a row, the colour bar after the second."""

    (w, h), left, top, bar = size, 136, 52, _bar_width(colours)
    width = left + count * w + (count - 1) * gap + bar + 24
    lines = textwrap.wrap(caption, max(20, (width - left) // 12))
    bottom = 84 + (20 + 32 * len(lines) if lines else 0)

    figure = _figure(width, top + h + bottom)
    places = [left + i * (w + gap) + (bar if i > 1 else 0) for i in range(count)]
    panels = [_panel(figure, place, bottom, w, h) for place in places]
    if colours is not None:
        _bar(_panel(figure, places[1] + w + 14, bottom, 16, h), colours)
    if lines:
        _note(figure, left, 20, "\n".join(lines))
    return figure, panels


# The figures


def triptych(
    prior_samples: Array,
    codes: Array,
    labels: Array | None,
    grid: Array,
    *,
    extent: Sequence[float | int],
    caption: str | None = None,
) -> Figure:
    r"""Draws Figure 3 of the paper: the prior, the codes, and the pictures decoded from a lattice.

    The three panels are windows on the same part of the latent plane, and the picture decoded
    from the code z is drawn around the point z. Codes outside the extent are counted in the
    corner of their panel.

    Arguments:
        prior_samples: Samples of the prior, of shape (m, 2).
        codes: The codes of data, of shape (n, 2).
        labels: The class or another quantity of each code, of shape (n,), or nothing. Up to 20
            different labels are classes, each with a colour; more are a continuous scale.
        grid: The decoded pictures, of shape (k * k, c, h, w), scaled as for `montage`. Picture
            i * k + j belongs to the code \((x_j, y_i)\), both ascending, as in `latent_grid`.
        extent: The limits (x0, x1, y0, y1) of every panel, which the cells of `grid` tile.
        caption: A sentence to print below.

    Returns:
        The figure; its first three axes are the panels "prior", "codes" and "decoded".

    Raises:
        ValueError: If a shape is not as above, or the number of pictures is not a square.

    Example:
        >>> extent = extent_of(prior_samples)
        >>> grid = model.decode(latent_grid(extent))
        >>> save(triptych(prior_samples, z, labels, grid, extent=extent), "figure3.png")
    """

    prior = _points("prior_samples", prior_samples, dim=2)
    z = _points("codes", codes, dim=2)
    pictures = _array("grid", grid, "k*k c h w")
    limits = x0, x1, y0, y1 = _limits(extent)
    k = math.isqrt(len(pictures))
    if k * k != len(pictures):
        raise ValueError(f"grid wants k * k pictures, a square number, got {len(pictures)}.")

    picture = _tiling(pictures, k)
    colours = _colouring(labels, len(z))
    width = _panel_width(picture.shape[1])
    size = (width, round(width * (y1 - y0) / (x1 - x0)))
    figure, panels = _windows(3, size, colours, caption or "")

    for ax, title in zip(panels, ("prior", "codes", "decoded"), strict=True):
        _plane(ax, title, limits, ("$z_1$", "$z_2$" if ax is panels[0] else ""))
    _scatter(panels[0], prior, None, INK)
    _scatter(panels[1], z, colours)
    _show(panels[2], picture, limits)
    for ax, points in zip(panels, (prior, z), strict=False):
        _note_outside(ax, points, limits)
    return figure


def _panel_width(pixels: int) -> int:
    """Returns the width of a panel on which so many pixels fit evenly, near 640."""

    return pixels // round(pixels / 640) if pixels > 960 else pixels


def codes(z: Array, labels: Array | None, prior_samples: Array) -> Figure:
    """Draws the codes beside the prior that they should follow, in any latent dimension.

    One dimension gives histograms, of the codes by class and of the prior as an outline over
    them. Two give a window on the plane for each. From three on, the windows show the first two
    principal components of the codes, and the prior projected onto the same two directions.

    Arguments:
        z: The codes, of shape (n, d).
        labels: The class or another quantity of each code, of shape (n,), or nothing.
        prior_samples: Samples of the prior, of shape (m, d).

    Returns:
        The figure; its first axes show the prior, the second the codes, or one shows both.

    Raises:
        ValueError: If the shapes do not agree.

    Example:
        >>> save(codes(z, labels, prior.sample(len(z))), "codes.png")
    """

    points = _points("z", z)
    d = points.shape[1]
    prior = _points("prior_samples", prior_samples, dim=d)
    colours = _colouring(labels, len(points))
    if d == 1:
        return _histograms(points[:, 0], prior[:, 0], colours)

    names = ["$z_1$", "$z_2$"]
    if d > 2:
        points, prior, names = _principal(points, prior)

    limits = extent_of(np.concatenate((points, prior)))
    figure, panels = _windows(2, (640, 640), colours, "")
    _plane(panels[0], "prior", limits, names)
    _plane(panels[1], "codes", limits, (names[0], ""))
    _scatter(panels[0], prior, None, INK)
    _scatter(panels[1], points, colours)
    _note_outside(panels[0], prior, limits)
    _note_outside(panels[1], points, limits)
    return figure


def _principal(z: Floats, prior: Floats) -> tuple[Floats, Floats, list[str]]:
    """Returns both projected onto the principal plane of z, and the names of its axes."""

    mean = z.mean(axis=0)
    covariance = (z - mean).T @ (z - mean) / len(z)
    variance, vectors = np.linalg.eigh(covariance)
    plane = vectors[:, :-3:-1]
    # An eigenvector has no sign of its own: the largest entry is made positive.
    plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])
    shares = variance[:-3:-1].clip(0) / max(float(variance.sum()), 1e-300)
    names = [f"component {i} ({s:.0%} of variance)" for i, s in enumerate(shares, start=1)]
    return (z - mean) @ plane, (prior - mean) @ plane, names


def _bins(x: NDArray[Any]) -> int:
    return int(np.clip(math.sqrt(len(x)), 12, 60))


def _histograms(z: Floats, prior: Floats, colours: _Colouring | None) -> Figure:
    colours = colours if colours and colours.names else None  # a stack wants classes
    figure = _figure(1160 + _bar_width(colours), 640)
    ax = _panel(figure, 136, 84, 1000, 500)
    both = np.concatenate((z, prior))
    edges = np.histogram_bin_edges(both, bins=_bins(both)).tolist()

    parts, paint = [z], [to_hex(BLUE)]
    if colours is not None:
        parts = [z[colours.values == i] for i in range(len(colours.names))]
        paint = [to_hex(colours.cmap(i)) for i in range(len(parts))]
    weights = [np.full(len(part), 1 / (len(z) * (edges[1] - edges[0]))) for part in parts]
    ax.hist(parts, edges, weights=weights, stacked=True, color=paint, alpha=0.85, linewidth=0)
    ax.hist(prior, edges, density=True, histtype="step", color=INK, linewidth=1.6)

    _style(ax, "codes under the outline of the prior")
    _open(ax)
    ax.margins(x=0)
    ax.set_xlabel("$z$", fontsize=TEXT, color=INK)
    ax.set_ylabel("density", fontsize=TEXT, color=INK)
    if colours is not None:
        _bar(_panel(figure, 1150, 84, 16, 500), colours)
    return figure


def reconstructions(x: Array, x_hat: Array, *, n: int = 12) -> Figure:
    """Draws the first n inputs above what the autoencoder makes of them.

    Images stand in two rows. Vectors are lines, one cell each, the input solid and the output
    dashed over it; vectors of at most three entries are points, each joined to its output.

    Arguments:
        x: The inputs, images of shape (b, c, h, w), scaled as for `montage`, or vectors (b, d).
        x_hat: The outputs, of the same shape.
        n: How many to draw, at least 1; all of them if there are fewer.

    Returns:
        The figure.

    Raises:
        ValueError: If the shapes differ or are not as above.

    Example:
        >>> save(reconstructions(x, model.reconstruct(x)), "reconstructions.png")
    """

    a = _array("x", x, "b c h w", "b d")[: _count("n", n)]
    b = _array("x_hat", x_hat, "b c h w", "b d")[:n]
    if tuple(x.shape) != tuple(x_hat.shape):
        raise ValueError(
            f"x_hat wants the shape of x, {tuple(x.shape)}, got {tuple(x_hat.shape)}."
        )

    if a.ndim == 2:
        return _vectors([a, b], columns=min(n, 4))

    picture = _mosaic(np.concatenate((_planes("x", a), _planes("x_hat", b))), columns=len(a))
    h, w = picture.shape[:2]
    figure = _figure(w + 132, h + 24)
    _show(_bare(figure, 120, 12, w, h), picture)
    _label(figure, 106, 12 + 0.75 * h, "input")
    _label(figure, 106, 12 + 0.25 * h, "output")
    return figure


def samples(x_hat: Array, *, columns: int | None = None) -> Figure:
    """Draws generated samples: a grid of images, a grid of lines, or points in a plane.

    Arguments:
        x_hat: Images of shape (n, c, h, w), scaled as for `montage`, or vectors (n, d). Vectors
            of two or three entries are points in each plane of two coordinates, single numbers
            a histogram.
        columns: The number of samples in a row, as for `montage`; of no meaning for points.

    Returns:
        The figure.

    Raises:
        ValueError: If `x_hat` has another shape or scale, or `columns` is below 1.

    Example:
        >>> save(samples(model.sample(100)), "samples.png")
    """

    array = _array("x_hat", x_hat, "n c h w", "n d")
    columns = _count("columns", math.ceil(math.sqrt(len(array))) if columns is None else columns)
    if array.ndim == 2:
        return _vectors([array], columns)

    picture = _mosaic(array, min(columns, len(array)))
    h, w = picture.shape[:2]
    figure = _figure(w + 24, h + 24)
    _show(_bare(figure, 12, 12, w, h), picture)
    return figure


def _vectors(parts: Sequence[NDArray[Any]], columns: int) -> Figure:
    """Draws samples alone, or inputs and outputs, in the manner that their length asks for."""

    match parts[0].shape[1]:
        case 1:
            return _agreement(*parts) if len(parts) > 1 else _histogram(parts[0][:, 0])
        case 2 | 3:
            return _clouds(parts)
        case _:
            return _lines(parts, columns)


def _lines(parts: Sequence[NDArray[Any]], columns: int) -> Figure:
    """Draws row i of every part in cell i, on one scale: the first solid, the second dashed."""

    (n, d), w, h, gap, inset = parts[0].shape, 190, 120, 12, 8
    columns = min(columns, n)
    rows = -(-n // columns)
    width, height = columns * (w + gap) - gap, rows * (h + gap) - gap
    top = 56 if len(parts) > 1 else 16
    figure = _figure(width + 32, height + 56 + top)
    ax = _bare(figure, 16, 56, width, height)
    ax.set(xlim=(0, width), ylim=(0, height))

    cell = np.arange(n)
    corner = np.stack((cell % columns * (w + gap), (rows - 1 - cell // columns) * (h + gap)), 1)
    box = np.array([(0, 0), (w, 0), (w, h), (0, h)])
    ax.add_collection(PolyCollection(list(corner[:, None] + box), facecolor=PALE, linewidth=0))

    low = min(float(part.min()) for part in parts)
    high = max(float(part.max()) for part in parts)
    across = np.linspace(inset, w - inset, d)
    styles = ((BLUE, SOLID), (ORANGE, DASHED))
    for part, (colour, dash) in zip(parts, styles, strict=False):
        up = inset + (h - 2 * inset) * (part - low) / ((high - low) or 1.0)
        lines = corner[:, None] + np.stack((np.broadcast_to(across, up.shape), up), axis=-1)
        ax.add_collection(
            LineCollection(list(lines), colors=colour, linestyle=dash, linewidth=1.4)
        )

    scale = f"every cell from {low:.3g} to {high:.3g}".replace("-", "\N{MINUS SIGN}")
    _note(figure, 16, 18, scale)
    if len(parts) > 1:
        _legend(figure, [_key("input", BLUE), _key("output", ORANGE, DASHED)])
    return figure


def _clouds(parts: Sequence[NDArray[Any]]) -> Figure:
    """Draws vectors of two or three entries as points; outputs are joined to their inputs."""

    pairs = list(combinations(range(parts[0].shape[1]), 2))
    figure, panels = _windows(len(pairs), (640, 640), None, "", gap=136)
    for ax, (i, j) in zip(panels, pairs, strict=True):
        planes = [part[:, (i, j)].astype(np.float64) for part in parts]
        limits = extent_of(np.concatenate(planes))
        title = ("samples", "reconstructions")[len(parts) - 1] if ax is panels[0] else ""
        _plane(ax, title, limits, (f"$x_{i + 1}$", f"$x_{j + 1}$"))
        if len(parts) > 1:
            joins = list(np.stack(planes, axis=1))
            ax.add_collection(LineCollection(joins, colors=GREY, linewidth=0.8, zorder=0.5))
        else:
            _note_outside(ax, planes[0], limits)
        for plane, colour in zip(planes, (BLUE, ORANGE), strict=False):
            _scatter(ax, plane, None, colour)
    if len(parts) > 1:
        _legend(figure, [_dot("input", BLUE), _dot("output", ORANGE)])
    return figure


def _agreement(x: NDArray[Any], x_hat: NDArray[Any]) -> Figure:
    """Draws single numbers, output against input."""

    points = np.concatenate((x, x_hat), axis=1).astype(np.float64)
    limits = extent_of(points)
    figure, (ax,) = _windows(1, (640, 640), None, "")
    _plane(ax, "output against input", limits, ("input", "output"))
    ax.axline((0, 0), slope=1, color=GREY, linewidth=0.8, zorder=0.5)
    _scatter(ax, points, None)
    return figure


def _histogram(x: NDArray[Any]) -> Figure:
    figure = _figure(1160, 640)
    ax = _panel(figure, 136, 84, 1000, 500)
    ax.hist(x, bins=_bins(x), density=True, color=BLUE, linewidth=0)
    _style(ax, "samples")
    _open(ax)
    ax.margins(x=0)
    ax.set_xlabel("$x$", fontsize=TEXT, color=INK)
    ax.set_ylabel("density", fontsize=TEXT, color=INK)
    return figure


def _key(name: str, colour: str, dashes: Dashes = SOLID) -> Line2D:
    """Returns what a legend shows for a line."""

    return Line2D([], [], color=colour, linestyle=dashes, linewidth=1.6, label=name)


def _dot(name: str, colour: str) -> Line2D:
    """Returns what a legend shows for points."""

    return Line2D([], [], color=colour, linestyle="none", marker="o", markersize=4, label=name)


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Names lines in the figure's upper right corner, without a frame."""

    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=len(handles),
        frameon=False,
        fontsize=TEXT,
        labelcolor=INK,
        borderaxespad=0.3,
        handlelength=1.6,
        handletextpad=0.6,
        columnspacing=1.6,
    )


def curves(epochs: Sequence[Mapping[str, object]]) -> Figure:
    """Draws how each quantity changed from epoch to epoch, a small panel for each.

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
        >>> rows = [json.loads(line) for line in open("metrics.jsonl")]
        >>> save(curves(rows), "curves.png")
    """

    keys = list(dict.fromkeys(key for row in epochs for key in row))
    series = {key: _series(epochs, key) for key in keys if key not in NOT_A_CURVE}
    series = {key: values for key, values in series.items() if np.isfinite(values).any()}
    quantities = list(
        dict.fromkeys(key.removeprefix("val_") for key in series if not key.endswith("_null"))
    )
    if not quantities:
        raise ValueError(
            f"epochs wants rows with at least one number to draw, got {len(epochs)} rows with "
            f"the keys {', '.join(keys) or 'none'}."
        )

    at = _series(epochs, "epoch")
    at = np.where(np.isfinite(at), at, np.arange(1, len(at) + 1))
    legend = [_key("train", BLUE)] if any(key in series for key in quantities) else []
    if any(key.startswith("val_") for key in series):
        legend.append(_key("held out", ORANGE))
    if any(key.endswith("_null") for key in series):
        legend.append(_key("null: prior against prior", GREY, DASHED))
    figure, panels = _small_multiples(len(quantities), legend if len(legend) > 1 else [])
    for ax, quantity in zip(panels, quantities, strict=True):
        _curve(ax, at, quantity, series)
    return figure


def _series(epochs: Sequence[Mapping[str, object]], key: str) -> Floats:
    """Returns a quantity over the rows, NaN where it is no finite number."""

    values = [row.get(key) for row in epochs]
    numbers = [float(v) if isinstance(v, Real) else math.nan for v in values]
    return np.array([v if math.isfinite(v) else math.nan for v in numbers])


def _small_multiples(count: int, legend: Sequence[Line2D]) -> tuple[Figure, list[Axes]]:
    columns = 2 if count == 4 else min(3, count)
    rows = -(-count // columns)
    w, h, left, gap_x, gap_y, bottom = 480, 290, 136, 136, 148, 84
    top = 100 if legend else 56
    figure = _figure(
        left + columns * (w + gap_x) - gap_x + 30, bottom + rows * (h + gap_y) - gap_y + top
    )
    panels = [
        _panel(
            figure,
            left + i % columns * (w + gap_x),
            bottom + (rows - 1 - i // columns) * (h + gap_y),
            w,
            h,
        )
        for i in range(count)
    ]
    if legend:
        _legend(figure, legend)
    return figure, panels


def _curve(ax: Axes, at: Floats, quantity: str, series: Mapping[str, Floats]) -> None:
    """Draws one quantity, of training and of held-out data, with the null of either."""

    keys = [key for key in (quantity, f"val_{quantity}") if key in series]
    nulls = {key: series[f"{key}_null"] for key in keys if f"{key}_null" in series}
    drawn = np.concatenate([series[key] for key in keys])
    log = bool((nulls or quantity == "sw2") and np.nanmin(drawn) > 0)

    for key in keys:
        there = np.isfinite(series[key])
        ax.plot(
            at[there],
            series[key][there],
            color=ORANGE if key.startswith("val_") else BLUE,
            linewidth=1.6,
            marker="o" if there.sum() <= 12 else "",
            markersize=4,
        )
    for values in nulls.values():
        level = float(np.nanmedian(values))
        if level > 0 or not log:
            ax.axhline(level, color=GREY, linestyle=DASHED, linewidth=1.2)

    _style(ax, WORDS.get(quantity, quantity.replace("_", " ")))
    _open(ax)
    if log:
        ax.set_yscale("log")
    else:
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.grid(axis="y", color=PALE, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=SMALL)
    ax.set_xlabel("epoch", fontsize=SMALL, color=INK)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if at.min() == at.max():
        ax.set_xlim(at[0] - 0.5, at[0] + 0.5)


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure to a file, whole or not at all.

    The file is written beside its place under another name, then moved there, so that a reader
    sees the old picture or the new one. Missing folders are made.

    Arguments:
        figure: The figure.
        path: The file, whose suffix names the format: .png, .pdf, .svg or another of
            matplotlib's. Pictures of pixels have 160 to the inch.

    Returns:
        The path.

    Raises:
        ValueError: If matplotlib knows no such suffix.

    Example:
        >>> save(curves(rows), "curves.png")
        PosixPath('curves.png')
    """

    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise ValueError(
            f"path wants a suffix among {', '.join('.' + k for k in sorted(known))}, got {path}."
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.{kind}")
    try:
        figure.savefig(draft, format=kind, dpi=DPI)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path

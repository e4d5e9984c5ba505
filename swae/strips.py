r"""Figures of walks through the space of codes: strips of pictures, and the map of a plane.

A strip is one row: what the codes of a path decode to, from its first to its last, images as
they are, vectors and series as lines in small cells on one scale. `lattice` draws what the codes
of :func:`swae.montage.latent_grid` decode to, each within its own cell of the plane.

Like :mod:`swae.plotting`, this knows arrays and no model.
"""

__all__ = ["in_sigmas", "lattice", "strips"]

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .canvas import canvas, panel, show, write, write_above, write_left
from .lines import channels, draw_line_map, draw_lines, scale_of_lines, span
from .montage import Array, Pixels, as_array, check_extent, latent_map, mosaic
from .plotting import plane, windows

APART = 14
r"""The pixels between a path and the originals at its ends, beyond the gap of two pictures."""


class Layout(NamedTuple):
    r"""Where the cells are, in pixels from the lower left corner of all."""

    across: NDArray[np.int64]  # the left edge of each column
    up: NDArray[np.int64]  # the lower edge of each row, the top one first
    w: int
    h: int

    @property
    def size(self) -> tuple[int, int]:
        return int(self.across[-1]) + self.w, int(self.up[0]) + self.h

    @property
    def corners(self) -> NDArray[np.int64]:
        x, y = np.broadcast_arrays(self.across, self.up[:, None])
        return np.stack((x, y), axis=-1).reshape(-1, 2)


def strips(
    pictures: Array,
    left: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    ends: tuple[Array, Array] | None = None,
    caption: str = "",
) -> Figure:
    r"""Draws paths as rows of pictures.

    Images of another scale than [0, 1] are shown from their lowest value to their highest. Both
    are told below, as they are of vectors. Of names that have no room every second or third is
    written.

    Arguments:
        pictures: What the paths decode to: images of shape :math:`(n, s, c, h, w)`, whose
            channels are shown as by `montage`, series :math:`(n, s, c, l)` or vectors
            :math:`(n, s, d)`.
        left: The name of each path, to its left.
        columns: The name of each step, above it.
        ends: What the first and the last code of each path were made of, images
            :math:`(n, c, h, w)`, series :math:`(n, c, l)` or vectors :math:`(n, d)`, to stand a
            little apart on either side.
        caption: A sentence to print below.

    Returns:
        The figure; its only axes hold the pictures.

    Raises:
        ValueError: If a shape or a number of names is not as above.

    Example:
        >>> figure = strips(np.zeros((2, 3, 1, 8, 8)), ["mode 1", "mode 2"], ["-1", "0", "1"])
        >>> [text.get_text() for text in figure.texts]
        ['mode 1', 'mode 2', '-1', '0', '1']
    """

    x = as_array("pictures", pictures, "n steps c h w", "n steps c l", "n steps d")
    rows, steps = x.shape[:2]
    check_names("left", left, rows)
    check_names("columns", columns, steps)
    x = x if ends is None else between(x, *ends)
    cells = x.reshape(-1, *x.shape[2:])
    images, note = on_page(x) if x.ndim == 5 else (x, scale_of_lines([cells]))
    tiles = [mosaic(column, columns=1) for column in images.swapaxes(0, 1)] if x.ndim == 5 else []
    layout = lay_out(rows, x.shape[1], tiles, apart=0 if ends is None else APART)

    margin = 26 + 15 * max(map(len, left)) if left else 12
    lines = textwrap.wrap(caption, max(20, layout.size[0] // 13))
    lines += [note] if note else []
    bottom = 22 + 32 * len(lines) if lines else 12
    top = 46 if columns else 12
    figure = canvas(margin + layout.size[0] + 12, bottom + layout.size[1] + top)
    ax = panel(figure, margin, bottom, *layout.size)
    ax.set_axis_off()
    if tiles:
        show(ax, side_by_side(tiles, layout))
    else:
        ax.set(xlim=(0, layout.size[0]), ylim=(0, layout.size[1]))
        draw_lines(ax, layout.corners, (layout.w, layout.h), channels(cells))

    write_names(figure, layout, (margin, bottom), left, columns, originals=ends is not None)
    if lines:
        write(figure, margin, 16, "\n".join(lines))
    return figure


def lattice(decoded: Array, extent: Sequence[float | int], *, caption: str = "") -> Figure:
    r"""Draws the map of a latent plane: what the codes of a lattice decode to, each in its cell.

    Arguments:
        decoded: What the codes of `latent_grid` decode to, in that order: images of shape
            :math:`(k^2, c, h, w)`, scaled as for `strips`, series :math:`(k^2, c, l)` or vectors
            :math:`(k^2, d)`.
        extent: The limits :math:`(x_0, x_1, y_0, y_1)` that the cells tile.
        caption: A sentence to print below.

    Returns:
        The figure; its first axes are the plane.

    Raises:
        ValueError: If a shape is not as above, or the number of pictures is not a square.

    Example:
        >>> figure = lattice(np.zeros((9, 1, 8, 8)), (-1, 1, -1, 1))
        >>> figure.axes[0].get_title(loc="left")
        'decoded'
    """

    x = as_array("decoded", decoded, "k*k c h w", "k*k c l", "k*k d")
    limits = x0, x1, y0, y1 = check_extent(extent)
    k = math.isqrt(len(x))
    if k * k != len(x):
        raise ValueError(f"decoded has to hold k * k samples, a square number, but has {len(x)}.")

    images, note = on_page(x) if x.ndim == 4 else (x, scale_of_lines([x]))
    picture = latent_map(images, k) if x.ndim == 4 else None
    width = max(640, 40 * k) if picture is None else picture.shape[1]
    width //= max(1, round(width / 1600))  # pixels of large pictures are dropped evenly
    size = (width, round(width * (y1 - y0) / (x1 - x0)))
    caption = "; ".join(filter(None, (caption, note)))
    figure, (ax,) = windows(1, size, caption=caption)
    plane(ax, "decoded", limits, ("$z_1$", "$z_2$"))
    if picture is not None:
        show(ax, picture, limits)
    else:
        draw_line_map(ax, x, limits)
    return figure


def check_names(name: str, names: Sequence[str] | None, n: int) -> None:
    if names is not None and len(names) != n:
        raise ValueError(f"{name} has to hold {n} names, but holds {len(names)}.")


def between(x: NDArray[Any], first: Array, last: Array) -> NDArray[Any]:
    r"""Returns paths with an original before and one after each."""

    originals = [as_array("ends", end, "n c h w", "n c l", "n d") for end in (first, last)]
    for end in originals:
        if end.shape != x[:, 0].shape:
            raise ValueError(f"ends has to have the shape {x[:, 0].shape}, but has {end.shape}.")
    parts = [originals[0][:, None], x, originals[1][:, None]]
    if {part.dtype.kind for part in parts} == {"u", "f"} and x.ndim == 5:
        parts = [part / 255 if part.dtype == np.uint8 else part for part in parts]
    return np.concatenate(parts, axis=1)


def on_page(images: NDArray[Any]) -> tuple[NDArray[Any], str]:
    r"""Returns images whose values fit a page, and what black and white stand for, if not 0 and 1.

    The limits are those of `montage`: an unbounded decoder strays a little from [0, 1].
    """

    low, high = span([images])
    if images.dtype == np.uint8 or (low >= -1 and high <= 2):
        return images, ""
    note = f"black is {low:.3g}, white is {high:.3g}".replace("-", "\N{MINUS SIGN}")
    return (images.astype(np.float64) - low) / ((high - low) or 1.0), note


def lay_out(rows: int, columns: int, tiles: Sequence[Pixels], apart: int) -> Layout:
    r"""Places the cells: as large as the tiles of images, or small ones for vectors."""

    if tiles:
        gap, w = 3, tiles[0].shape[1]  # that of a mosaic
        h = (tiles[0].shape[0] + gap) // rows - gap
    else:
        gap, w = 8, int(np.clip(1400 // columns, 56, 190))
        h = 12 * w // 19
    across = np.arange(columns) * (w + gap)
    across[1:] += apart
    across[-1] += apart
    return Layout(across, np.arange(rows)[::-1] * (h + gap), w, h)


def side_by_side(tiles: Sequence[Pixels], layout: Layout) -> Pixels:
    r"""Returns the picture of all columns, white between them."""

    width, height = layout.size
    picture = np.ones((height, width, *tiles[0].shape[2:]), dtype=np.float32)
    for tile, column in zip(tiles, layout.across, strict=True):
        picture[:, column : column + layout.w] = tile
    return picture


def write_names(
    figure: Figure,
    layout: Layout,
    origin: tuple[int, int],
    left: Sequence[str] | None,
    columns: Sequence[str] | None,
    originals: bool,
) -> None:
    r"""Writes the names of rows and columns, as many as there is room for."""

    x, y = origin
    for i in places(layout.up, 32) if left else ():
        write_left(figure, x - 14, y + layout.up[i] + layout.h / 2, (left or ())[i])

    across, names = layout.across, list(columns or ())
    above = y + layout.size[1] + 8
    own = across[1:-1] if originals else across
    for i in places(own, 20 + 14 * max(map(len, names))) if names else ():
        write_above(figure, x + own[i] + layout.w / 2, above, names[i])
    if names and originals and layout.w >= 56:
        for column in across[[0, -1]]:
            write_above(figure, x + column + layout.w / 2, above, "input")


def places(edges: NDArray[np.int64], room: int) -> range:
    r"""Returns the cells whose names fit: all, or every second, third, ..."""

    pitch = abs(int(edges[1] - edges[0])) if len(edges) > 1 else room
    return range(0, len(edges), math.ceil(room / pitch))


def in_sigmas(t: float) -> str:
    r"""Names the step of a mode that is so many standard deviations from the mean.

    Example:
        >>> [in_sigmas(t) for t in (-1.5, 0.0, 3.0)]
        ['−1.5σ', 'mean', '+3σ']
    """

    # The middle of evenly spaced numbers may miss zero by their rounding.
    return "mean" if abs(t) < 1e-9 else f"{t:+.3g}σ".replace("-", "\N{MINUS SIGN}")

r"""Many images as one picture, and the lattice of codes that such a picture may stand for.

A montage tiles :math:`n` images of :math:`h \times w` pixels into one array, left to right and
top to bottom. Decoded from a lattice of codes it becomes a map of the latent plane: over the
extent :math:`[x_0, x_1] \times [y_0, y_1]` code :math:`i k + j` is the centre of a cell

.. math:: (x_j, y_i) , \qquad x_j = x_0 + \frac{j + 1/2}{k} (x_1 - x_0) , \qquad
    y_i = y_0 + \frac{i + 1/2}{k} (y_1 - y_0) ,

and its picture fills that cell. Both coordinates ascend, so the first row of codes is the bottom
row of the map.
"""

__all__ = ["extent_of", "latent_grid", "montage"]

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any] | Tensor
Floats = NDArray[np.float64]
Pixels = NDArray[np.float32]
Extent = tuple[float, float, float, float]

WIDEST = 800
r"""The most pixels that a long image is enlarged to."""


def montage(images: Array, columns: int | None = None, *, pad: int = 1) -> Pixels:
    r"""Tiles images into one picture, left to right and top to bottom.

    The gaps, and the cells that the last row leaves empty, are white like the page. Values a
    little outside [0, 1], as an unbounded decoder gives them, are clipped.

    Arguments:
        images: Images of shape :math:`(n, c, h, w)`, floats in [0, 1] or uint8. Three channels
            are red, green and blue; of any other number of channels only the first is shown.
        columns: The number of images in a row, by default the least that makes as many columns
            as rows or more.
        pad: The width of the gaps in pixels, at least 0. There is no gap around the whole.

    Returns:
        The picture, of shape :math:`(H, W)` or :math:`(H, W, 3)`, float32 in [0, 1]. Image i
        begins at row ``i // columns * (h + pad)`` and column ``i % columns * (w + pad)``.

    Raises:
        ValueError: If `images` has another shape or scale, or a count is too small.

    Example:
        >>> montage(torch.rand(6, 1, 28, 28), columns=3).shape
        (57, 86)
    """

    tiles = as_pictures("images", images)
    n, c, h, w = tiles.shape
    columns = check_count("columns", math.ceil(math.sqrt(n)) if columns is None else columns)
    if pad < 0:
        raise ValueError(f"pad wants a whole number of at least 0, got {pad}.")

    rows = -(-n // columns)
    height, width = rows * (h + pad) - pad, columns * (w + pad) - pad
    picture = np.ones((c, height, width), dtype=np.float32)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (h + pad), i % columns * (w + pad)
        picture[:, top : top + h, left : left + w] = tile

    return picture[0] if c == 1 else picture.transpose(1, 2, 0)


def mosaic(images: NDArray[Any], columns: int | None, *, least: int = 0) -> Pixels:
    r"""Returns a montage whose tiles are near 88 pixels wide, so that its gaps look thin.

    Tiles of long images are wider, such that their shorter side has ``least`` pixels.
    """

    return montage(enlarged(images, magnification(images, least)), columns, pad=3)


def magnification(images: NDArray[Any], least: int = 0) -> int:
    r"""Returns by how much a mosaic enlarges images."""

    h, w = images.shape[2:]
    return max(1, round(88 / max(h, w)), min(-(-least // min(h, w)), WIDEST // max(h, w)))


def latent_map(grid: NDArray[Any], k: int) -> Pixels:
    r"""Returns the pictures of a lattice, each within a hairline of its own cell.

    The line is wider and lighter around small images, whose few pixels would run into each other.
    """

    line, shade = (2, 0.6) if max(grid.shape[2:]) <= 16 else (1, 0.25)
    tiles = enlarged(as_pictures("grid", grid), max(1, round(640 / (k * grid.shape[-1]))))
    tiles = np.pad(tiles, ((0, 0), (0, 0), (line, line), (line, line)), constant_values=shade)
    rows = tiles.reshape(k, k, *tiles.shape[1:])[::-1]  # pictures run down, codes run up
    return montage(rows.reshape(tiles.shape), columns=k, pad=0)


def enlarged(images: NDArray[Any], scale: int) -> NDArray[Any]:
    r"""Returns the images with every pixel a block of scale x scale."""

    return images.repeat(scale, axis=2).repeat(scale, axis=3)


def latent_grid(extent: Sequence[float | int], k: int = 25) -> Tensor:
    r"""Returns the codes of a k x k lattice whose cells tile the extent.

    Row :math:`i k + j` is :math:`(x_j, y_i)`; both ascend, so the bottom row comes first.

    Arguments:
        extent: The limits :math:`(x_0, x_1, y_0, y_1)`.
        k: The number of cells along each side, at least 1.

    Returns:
        The codes, of shape :math:`(k^2, 2)`, in torch's default data type.

    Raises:
        ValueError: If the limits do not ascend or `k` is below 1.

    Example:
        >>> latent_grid((-1, 1, -1, 1), k=2).tolist()
        [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """

    x0, x1, y0, y1 = check_extent(extent)
    centres = (torch.arange(check_count("k", k), dtype=torch.float64) + 0.5) / k
    y, x = torch.meshgrid(y0 + (y1 - y0) * centres, x0 + (x1 - x0) * centres, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(k * k, 2).to(torch.get_default_dtype())


def extent_of(prior_samples: Array) -> Extent:
    r"""Returns the square of the latent plane that shows the samples with a margin of 5 %.

    A bounded law is held entirely. Of a law with tails, such as the normal, the few samples
    beyond the 99.9 % quantile of either coordinate fall outside, lest they shrink the rest. The
    square is centred at zero when the samples are, to within a tenth of their half-width.

    Arguments:
        prior_samples: Samples of a prior, of shape :math:`(n, 2)`.

    Returns:
        The limits :math:`(x_0, x_1, y_0, y_1)`, with :math:`x_1 - x_0 = y_1 - y_0 > 0`.

    Raises:
        ValueError: If `prior_samples` has another shape or is not finite.

    Example:
        >>> extent_of(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
        (-1.05, 1.05, -1.05, 1.05)
    """

    z = as_points("prior_samples", prior_samples, dim=2)

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


def as_array(name: str, value: Array, *shapes: str) -> NDArray[Any]:
    r"""Returns the value as an array of real, finite numbers in one of the shapes: 'n d', ..."""

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


def as_points(name: str, value: Array, dim: int | None = None) -> Floats:
    r"""Returns (n, d) floats."""

    array = as_array(name, value, f"n {dim}" if dim else "n d").astype(np.float64)
    if dim and array.shape[1] != dim:
        raise ValueError(f"{name} wants the shape (n, {dim}), got {array.shape}.")
    return array


def as_pictures(name: str, value: Array) -> Pixels:
    r"""Returns (n, 1, h, w) or (n, 3, h, w) floats in [0, 1], what bytes and floats share."""

    array = as_array(name, value, "n c h w")
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255

    low, high = float(array.min()), float(array.max())
    if low < -1 or high > 2:  # an unbounded decoder strays a little; this is another scale
        raise ValueError(
            f"{name} wants uint8 or values in [0, 1], got {array.dtype} from {low:g} to {high:g}."
        )
    shown = array if array.shape[1] == 3 else array[:, :1]
    return shown.astype(np.float32).clip(0, 1)


def check_count(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} wants a whole number of at least 1, got {value}.")
    return value


def check_extent(extent: Sequence[float | int]) -> Extent:
    if len(extent) != 4 or not extent[0] < extent[1] or not extent[2] < extent[3]:
        raise ValueError(
            f"extent wants (x0, x1, y0, y1) with x0 < x1 and y0 < y1, got {tuple(extent)}."
        )
    x0, x1, y0, y1 = map(float, extent)
    return x0, x1, y0, y1

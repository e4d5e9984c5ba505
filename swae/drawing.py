r"""Pictures of whatever samples a model has.

Images are drawn as they are. A matrix is a gray image if it looks like one, with sides of at least
8 of which neither is four times the other (:func:`swae.networks.is_picture`), and else a series
of channels, drawn as lines. Of a volume the three slices through its middle are drawn side by
side, seen from the front, from above and from the side; a map of a plane has room for the first
alone. Everything else is drawn as vectors: of at most 30 entries a panel for each column
(:mod:`swae.tabular`), and else, or along a walk, as lines of what the model standardises.
"""

__all__ = [
    "a_side",
    "columns_of",
    "draw_labels",
    "draw_lattice",
    "draw_pairs",
    "draw_preview",
    "draw_samples",
    "draw_strips",
    "drawable",
    "panelled",
    "pictures",
]

import math
from typing import Any

import numpy as np

from . import plotting, strips, tabular
from .lines import span
from .montage import Extent
from .networks import is_picture

MOST_COLUMNS = 30
r"""The columns of a table that have a panel each."""

SMALL_SIDE = 16
r"""The side up to which images want larger cells than a lattice of 25 codes a side has."""

ROWS = 20
r"""The most labels whose samples are drawn."""

MOST_VALUES = 4_000_000
r"""The numbers that samples of a preview have together."""

VIEWS = "each volume's middle slices along depth, height and width, from the left"
Known = tabular.Columns | None


def columns_of(model: Any) -> Known:  # noqa: ANN401 - a fitted SWAE, which imports this
    r"""Returns what a model knows of the columns of vectors; nothing of other samples."""

    if len(model.sample_shape_) != 1:
        return None
    (d,) = model.sample_shape_
    names = list(map(str, getattr(model, "feature_names_in_", [f"x{i}" for i in range(d)])))
    scaling = model.autoencoder_.scaling
    if scaling is None:
        return tabular.Columns(names)
    return tabular.Columns(
        names, *(part.numpy(force=True).reshape(-1) for part in (scaling.mean, scaling.deviation))
    )


def panelled(x: Any, columns: Known) -> bool:  # noqa: ANN401 - an array
    return columns is not None and np.ndim(x) == 2 and x.shape[1] <= MOST_COLUMNS


def draw_pairs(x: Any, x_hat: Any, columns: Known = None) -> Any:  # noqa: ANN401 - arrays
    if columns is not None and panelled(x, columns) and x.shape[1] > 3:
        return tabular.agreements(x, x_hat, columns)
    both, note = lined(np.concatenate([np.asarray(x), np.asarray(x_hat)]), columns)
    both = pictures(both)
    return plotting.reconstructions(both[: len(x)], both[len(x) :], n=len(x), caption=note)


def draw_samples(x_hat: Any, columns: Known = None, data: Any = None) -> Any:  # noqa: ANN401 - arrays
    r"""Draws samples; of a table with few columns before the data, if there are any."""

    if columns is not None and panelled(x_hat, columns):
        return tabular.histograms(x_hat, columns, data)
    x_hat, note = lined(x_hat, columns)
    return plotting.samples(pictures(x_hat), caption=note)


def draw_strips(
    x: Any,  # noqa: ANN401 - an array
    ends: Any = None,  # noqa: ANN401 - two arrays
    columns_known: Known = None,
    caption: str = "",
    **names: Any,  # noqa: ANN401 - names
) -> Any:  # noqa: ANN401 - a figure
    r"""Draws paths of samples, with shape (n, steps, *), between the originals of their ends.

    A caption is told before what a reader has to know of the samples.
    """

    flat, note = lined(x.reshape(-1, *x.shape[2:]), columns_known)
    flat = drawable(flat)
    ends = ends and tuple(drawable(lined(end, columns_known)[0]) for end in ends)
    rows = flat.reshape(*x.shape[:2], *flat.shape[1:])
    caption = "; ".join(filter(None, (caption, note)))
    return strips.strips(rows, ends=ends, caption=caption, **names)


def draw_lattice(x: Any, extent: Extent, columns: Known = None) -> Any:  # noqa: ANN401 - an array
    x, note = lined(x, columns, views=False)
    return strips.lattice(drawable(x, views=False), extent, caption=note)


def lined(x: Any, columns: Known, *, views: bool = True) -> tuple[Any, str]:  # noqa: ANN401 - arrays
    r"""Returns samples on the scale of their lines or slices, and what a reader has to know."""

    x = np.asarray(x)
    if x.ndim == 5:
        return x, VIEWS if views else "each volume's middle slice along its depth"
    if columns is None or x.ndim != 2:
        return x, ""
    notes = [] if columns.mean is None else ["in deviations from each column's mean"]
    if 3 < len(columns.names) <= MOST_COLUMNS:
        notes += ["columns from the left: " + ", ".join(columns.names)]
    return columns.standard(x), "; ".join(notes)


def draw_preview(model: Any) -> Any:  # noqa: ANN401 - a fitted SWAE, which imports this
    r"""Draws samples of a model, of each label where these choose the prior's component."""

    columns = columns_of(model)
    if hasattr(model, "classes_"):
        return draw_labels(model, columns)
    n = max(4, min(64, most_samples(model)))  # fewer of what is large
    return draw_samples(model.sample(n), columns)


def draw_labels(model: Any, columns: Known) -> Any:  # noqa: ANN401 - likewise
    r"""Draws a row of samples for each label, the first of them if there are many."""

    classes = model.classes_[:ROWS]
    n = max(2, min(10, most_samples(model) // len(classes)))
    rows = np.stack([model.sample(n, label=label) for label in classes])
    return draw_strips(rows, None, columns, left=list(map(str, classes)))


def most_samples(model: Any) -> int:  # noqa: ANN401 - likewise
    return MOST_VALUES // math.prod(model.sample_shape_)


def a_side(x: Any) -> int:  # noqa: ANN401 - an array
    r"""Returns how many codes a side a lattice has: fewer of small images, and of lines."""

    shape = drawable(x, views=False).shape
    return 25 if len(shape) == 4 and math.prod(shape[2:]) > SMALL_SIDE**2 else 15


def pictures(x: Any, *, views: bool = True) -> Any:  # noqa: ANN401 - an array
    r"""Returns what can be drawn, images in [0, 1] where a linear output has another scale."""

    x = drawable(x, views=views)
    return strips.on_page(x)[0] if x.ndim == 4 else x


def drawable(x: Any, *, views: bool = True) -> Any:  # noqa: ANN401 - an array
    r"""Returns samples as images (n, c, h, w), series (n, c, l) or vectors (n, d)."""

    x = np.asarray(x)
    match x.ndim:
        case 3:
            return x[:, None] if is_picture(x.shape[1:]) else x
        case 4:
            return x
        case 5:
            return three_views(x) if views else x[:, :, x.shape[2] // 2]
        case _:
            return x.reshape(len(x), -1)


def three_views(x: Any) -> Any:  # noqa: ANN401 - an array
    r"""Returns the three slices through the middle of volumes (n, c, d, h, w) as images.

    From the left it is seen from the front, from above and from the side, with gray lines
    between; what a lower view leaves is white.
    """

    n, c, d, h, w = x.shape
    low, high = span([x])
    if low >= -1 and high <= 2:
        low, high = 0, 1  # what images are shown on
    image = np.full((n, c, max(h, d), w + 1 + w + 1 + d), high, dtype=np.float32)
    image[..., [w, 2 * w + 1]] = (low + high) / 2
    image[..., :h, :w] = x[:, :, d // 2]
    image[..., :d, w + 1 : 2 * w + 1] = x[:, :, :, h // 2]
    image[..., :h, 2 * w + 2 :] = x[..., w // 2].swapaxes(2, 3)
    return image

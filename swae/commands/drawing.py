r"""Pictures of whatever samples a model has.

Images are drawn as they are. A matrix is a gray image if it looks like one, with sides of at least
8 of which neither is four times the other (:func:`swae.networks.is_picture`), and else a series
of channels, drawn as lines. Of a volume the three slices through its middle are drawn side by
side, seen from the front, from above and from the side; a map of a plane has room for the first
alone. Everything else is drawn as vectors.
"""

__all__ = ["draw_lattice", "draw_pairs", "draw_samples", "draw_strips", "drawable", "pictures"]

from typing import Any

import numpy as np

from .. import plotting, strips
from ..lines import span
from ..montage import Extent
from ..networks import is_picture


def draw_pairs(x: Any, x_hat: Any) -> Any:  # noqa: ANN401 - arrays of a kind
    both = pictures(np.concatenate([np.asarray(x), np.asarray(x_hat)]))
    return plotting.reconstructions(both[: len(x)], both[len(x) :], n=len(x))


def draw_samples(x_hat: Any) -> Any:  # noqa: ANN401 - an array
    return plotting.samples(pictures(x_hat))


def draw_strips(x: Any, ends: Any = None, **names: Any) -> Any:  # noqa: ANN401 - arrays of a kind
    r"""Draws paths of samples, with shape (n, steps, *), between the originals of their ends."""

    flat = drawable(x.reshape(-1, *x.shape[2:]))
    ends = ends and tuple(map(drawable, ends))
    return strips.strips(flat.reshape(*x.shape[:2], *flat.shape[1:]), ends=ends, **names)


def draw_lattice(x: Any, extent: Extent) -> Any:  # noqa: ANN401 - an array
    return strips.lattice(drawable(x, views=False), extent)


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

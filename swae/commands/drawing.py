r"""Pictures of whatever samples a model has: images, matrices or vectors."""

__all__ = ["draw_lattice", "draw_pairs", "draw_samples", "draw_strips", "drawable", "on_page"]

from typing import Any

import numpy as np

from .. import plotting, strips
from ..montage import Extent


def draw_pairs(x: Any, x_hat: Any) -> Any:  # noqa: ANN401 - arrays of a kind
    both = on_page(np.concatenate([np.asarray(drawable(part)) for part in (x, x_hat)]))
    return plotting.reconstructions(both[: len(x)], both[len(x) :], n=len(x))


def draw_samples(x_hat: Any) -> Any:  # noqa: ANN401 - an array
    return plotting.samples(on_page(drawable(x_hat)))


def on_page(x: Any) -> Any:  # noqa: ANN401 - an array
    r"""Returns images that can be drawn: those of a linear output may be of any scale."""

    return strips.on_page(x)[0] if x.ndim == 4 else x


def draw_strips(x: Any, ends: Any = None, **names: Any) -> Any:  # noqa: ANN401 - arrays of a kind
    r"""Draws paths of samples, with shape (n, steps, *), between the originals of their ends."""

    flat = drawable(x.reshape(-1, *x.shape[2:]))
    ends = ends and tuple(map(drawable, ends))
    return strips.strips(flat.reshape(*x.shape[:2], *flat.shape[1:]), ends=ends, **names)


def draw_lattice(x: Any, extent: Extent) -> Any:  # noqa: ANN401 - an array
    return strips.lattice(drawable(x), extent)


def drawable(x: Any) -> Any:  # noqa: ANN401 - an array
    r"""Returns matrices as gray images, and what is no image as vectors."""

    if x.ndim == 3:
        return x[:, None]
    return x if x.ndim == 4 else x.reshape(len(x), -1)

r"""Pictures of whatever samples a model has: images, matrices or vectors."""

__all__ = ["draw_pairs", "draw_samples", "drawable"]

from typing import Any

from .. import plotting


def draw_pairs(x: Any, x_hat: Any) -> Any:  # noqa: ANN401 - arrays of a kind
    return plotting.reconstructions(drawable(x), drawable(x_hat), n=len(x))


def draw_samples(x_hat: Any) -> Any:  # noqa: ANN401 - an array
    return plotting.samples(drawable(x_hat))


def drawable(x: Any) -> Any:  # noqa: ANN401 - an array
    r"""Returns matrices as gray images, and what is no image as vectors."""

    if x.ndim == 3:
        return x[:, None]
    return x if x.ndim == 4 else x.reshape(len(x), -1)

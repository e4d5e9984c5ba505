r"""Multilayer perceptrons, for samples of any shape.

Nothing is known of such samples but that they are :math:`n` numbers, and every one is seen with
every other.
"""

__all__ = ["mlp"]

import itertools
import math
from collections.abc import Sequence

from torch import nn

from .layers import SLOPE, Float32Linear


def mlp(
    shape: Sequence[int],
    latent_dim: int,
    hidden: Sequence[int] = (256, 128),
) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates a multilayer perceptron and its mirror, for samples of any shape.

    Arguments:
        shape: The shape of one sample; it is flattened.
        latent_dim: The dimension :math:`d` of the codes.
        hidden: The widths of the encoder's hidden layers; the decoder's are reversed. Without
            any, both are linear.

    Returns:
        The encoder and the decoder.

    Raises:
        ValueError: If a width is less than 1.

    Example:
        >>> encoder, decoder = mlp((4, 5), latent_dim=2, hidden=[8])
        >>> decoder(encoder(torch.rand(3, 4, 5))).shape
        torch.Size([3, 4, 5])
    """

    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden has to hold sizes >= 1, but is {hidden!r}.")

    features = math.prod(shape)
    inward, outward = [features, *hidden], [latent_dim, *reversed(hidden)]

    encoder = nn.Sequential(
        nn.Flatten(),
        *(layer for i, o in itertools.pairwise(inward) for layer in dense(i, o)),
        Float32Linear(inward[-1], latent_dim),
    )
    decoder = nn.Sequential(
        *(layer for i, o in itertools.pairwise(outward) for layer in dense(i, o)),
        nn.Linear(outward[-1], features),
        nn.Unflatten(1, tuple(shape)),
    )

    return encoder, decoder


def dense(features_in: int, features_out: int) -> list[nn.Module]:
    return [nn.Linear(features_in, features_out), nn.LeakyReLU(SLOPE, inplace=True)]

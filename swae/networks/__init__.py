r"""Encoders and decoders sized from the shape of the data.

Convolutions are for what has neighbours: series :math:`(c, l)`, images :math:`(c, h, w)` and
volumes :math:`(c, d, h, w)`. A matrix :math:`(h, w)` is a series of :math:`h` channels or an image
without its channel; it is an image if it looks like one (:func:`is_picture`). Everything else is
for the perceptron, and so is what is too small for a stage: less than 4 rows of an image, or a
series of less than 8 values, of which a convolution of size 3 sees nearly half at once.

Images of 64 rows and columns or more, with sides that 2 divides, enter as blocks:
:math:`r \times r` pixels of :math:`c` channels become one of :math:`r^2 c`, and come out likewise.
So do volumes whose sides are 32 or more. So no convolution works at full resolution, where most
of the time would go.

The decoder ends in logits; the output's activation belongs to the model.
"""

__all__ = [
    "Network",
    "build",
    "convolutional",
    "glorot_",
    "is_picture",
    "memory_format_for",
    "mlp",
    "resolve",
]

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, get_args

import torch
from torch import nn

from .convolutions import LEAST, convolutional
from .layers import SLOPE as SLOPE
from .layers import WEIGHTED as WEIGHTED
from .layers import VoxelShuffle, VoxelUnshuffle, glorot_
from .perceptron import mlp

Network = Literal["auto", "convolutional", "mlp"]
r"""The names of the built-in networks."""

BLOCKS = {2: 32, 3: 16}
r"""The least that is left of the sides of images and volumes that enter as blocks."""

PICTURE = 8
r"""The least side of a matrix that looks like a picture."""


def build(
    shape: Sequence[int],
    latent_dim: int,
    network: Network = "auto",
) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates the encoder and the decoder for samples of a shape.

    Arguments:
        shape: The shape of one sample: :math:`(n)` of a vector, :math:`(c, l)` of a series,
            :math:`(c, h, w)` of an image, :math:`(c, d, h, w)` of a volume, or another.
        latent_dim: The dimension :math:`d` of the codes.
        network: ``convolutional`` for series, images and volumes, ``mlp`` for any shape, or
            ``auto``, see :func:`resolve`.

    Returns:
        The encoder from :math:`(*, \text{shape})` to :math:`(*, d)` and the decoder back, to
        logits.

    Raises:
        ValueError: If a size can't work or the name is unknown.

    Example:
        >>> encoder, decoder = build((1, 28, 28), latent_dim=2)
        >>> decoder(encoder(torch.rand(5, 1, 28, 28))).shape
        torch.Size([5, 1, 28, 28])
        >>> sum(p.numel() for p in encoder.parameters())
        203250
        >>> sum(p.numel() for p in decoder.parameters())
        308193
    """

    if not is_size(latent_dim):
        raise ValueError(f"latent_dim has to be a whole number >= 1, but is {latent_dim!r}.")
    network = resolve(shape, network)

    shape, latent_dim = tuple(map(int, shape)), int(latent_dim)
    if network == "mlp":
        return mlp(shape, latent_dim)
    if is_picture(shape):
        return as_images(shape, latent_dim)
    return in_blocks(shape, latent_dim)


def resolve(shape: Sequence[int], network: Network = "auto") -> Network:
    r"""Returns the name of the network for samples of a shape, which is never ``auto``.

    ``auto`` is ``convolutional`` for series of at least 8 values and for images and volumes with
    sides of at least 4, and ``mlp`` for all other shapes.

    Arguments:
        shape: The shape of one sample.
        network: The name.

    Raises:
        ValueError: If the shape holds no sizes or the name is unknown.

    Example:
        >>> [resolve(shape) for shape in [(30,), (2, 500), (3, 64, 64), (3, 2, 64)]]
        ['mlp', 'convolutional', 'convolutional', 'mlp']
    """

    if network not in get_args(Network):
        raise ValueError(f"network has to be one of {get_args(Network)}, but is {network!r}.")
    if len(shape) == 0 or not all(map(is_size, shape)):
        raise ValueError(f"shape has to hold whole sizes >= 1, but is {tuple(shape)}.")
    if network != "auto":
        return network

    least = {2: 8, 3: LEAST, 4: LEAST}.get(len(shape))
    return "mlp" if least is None or min(shape[1:]) < least else "convolutional"


def is_size(value: Any) -> bool:  # noqa: ANN401 - to be judged
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def is_picture(shape: Sequence[int]) -> bool:
    r"""Tells a matrix that looks like a gray picture from a series of several channels.

    Both sides are at least 8, and neither is more than four times the other. So 28 rows of 28
    are a picture, while 3 channels or 12 of 1000 values are a series.

    Arguments:
        shape: The shape of one sample; only one of two sizes can be a picture's.

    Example:
        >>> is_picture((28, 28)), is_picture((3, 28)), is_picture((12, 1000))
        (True, False, False)
    """

    return len(shape) == 2 and min(shape) >= PICTURE and max(shape) <= 4 * min(shape)


def memory_format_for(shape: Sequence[int]) -> torch.memory_format:
    r"""Returns how the weights of the networks for a shape lie best in memory.

    Convolutions of images are twice as fast on pixels whose channels lie together, those of
    volumes a tenth. Weights of perceptrons and series have one order.

    Arguments:
        shape: The shape of one sample.

    Example:
        >>> memory_format_for((1, 28, 28)), memory_format_for((1, 16, 16, 16))
        (torch.channels_last, torch.channels_last_3d)
    """

    if len(shape) == 3 or is_picture(shape):
        return torch.channels_last
    return torch.channels_last_3d if len(shape) == 4 else torch.contiguous_format


def as_images(shape: Sequence[int], latent_dim: int) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates convolutional networks that see a matrix as an image of one channel."""

    encoder, decoder = in_blocks((1, *shape), latent_dim)
    unflatten = nn.Unflatten(1, (1, shape[0]))
    return nn.Sequential(unflatten, *encoder), nn.Sequential(*decoder, nn.Flatten(1, 2))


def in_blocks(shape: Sequence[int], latent_dim: int) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates convolutional networks that see large images and volumes as blocks."""

    c, *sides = shape
    r = block_size(sides)
    if r == 1:
        return convolutional(shape, latent_dim)
    blocks = [c * r ** len(sides), *(side // r for side in sides)]
    encoder, decoder = convolutional(blocks, latent_dim)
    unshuffle, shuffle = (
        (nn.PixelUnshuffle(r), nn.PixelShuffle(r))
        if len(sides) == 2
        else (VoxelUnshuffle(r), VoxelShuffle(r))
    )
    return nn.Sequential(unshuffle, *encoder), nn.Sequential(*decoder, shuffle)


def block_size(sides: Sequence[int]) -> int:
    r"""Returns the largest power of 2 that divides every side and leaves enough of each."""

    r, least = 1, BLOCKS.get(len(sides))
    while least and min(sides) >= 2 * r * least and all(side % (2 * r) == 0 for side in sides):
        r *= 2
    return r

r"""The convolutional networks of the paper's MNIST experiment, drawn for any grid of values.

A sample has :math:`c` channels and one, two or three sides: a series :math:`(c, l)`, an image
:math:`(c, h, w)`, a volume :math:`(c, d, h, w)`. With :math:`n` stages the encoder halves each
side :math:`n` times,

.. math:: s = \lceil h / 2^n \rceil ,

each stage being two convolutions of size 3 and an average pooling that also keeps a last odd row.
The decoder doubles :math:`s` in :math:`n` stages and arrives at :math:`2^n s = h + o`. The
overshoot :math:`0 \leq o < 2^n` has to go on the way: a convolution without padding ("valid")
takes 2 rows, which are :math:`2^{r+1}` rows of the result when :math:`r` doublings follow. So the
binary digits of :math:`o` say which stages are valid, and the digit of 1 is a last row to crop.
For :math:`h = 28` and :math:`n = 3` this is the paper's decoder: 4, 8, 16 to 14, 28.

The sides are halved together until the smallest is 4 or less. What is left of a nearly square
image is then at most 4x16, of a nearly cubic volume 4x4x4, which is 64 positions either way. Of
longer samples more would be left, and a dense layer has a weight for each, so the stages go on
along the sides that are longer than 4 until at most 64 positions are left: an image of 8x200 is
halved to 4x100 and then to 4x13. The decoder doubles those sides first.

The stages have 16, 32, 64, ... channels. A halved image has a quarter of the positions, which
leaves every stage the same work at twice the channels; a halved series has half of them, and each
stage twice the work of the one before. So the channels of series end at 64, those of images and
volumes at 256.
"""

__all__ = ["convolutional"]

import itertools
import math
from collections.abc import Sequence

from torch import nn

from .layers import CONV, POOL, SLOPE, Crop, Float32Linear, UpConv

LEAST = 4
r"""The least that a side may be, and down to which it is halved."""

POSITIONS = 64
r"""The most positions that are left for the dense layers."""

MOST = {1: 64, 2: 256, 3: 256}
r"""The most channels of a stage, by the number of sides."""


def convolutional(
    shape: Sequence[int],
    latent_dim: int,
    channels: Sequence[int] | None = None,
    hidden: int = 128,
) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates the paper's encoder and decoder, drawn for any series, image or volume.

    Arguments:
        shape: The shape :math:`(c, l)`, :math:`(c, h, w)` or :math:`(c, d, h, w)` of a sample,
            with sides of at least 4.
        latent_dim: The dimension :math:`d` of the codes.
        channels: The channels of each stage, at which every side is halved. If :py:`None`, stages
            of 16, 32, 64, ... channels, as the module's docstring says.
        hidden: The width of the dense layer next to the codes.

    Returns:
        The encoder and the decoder.

    Raises:
        ValueError: If the shape is none of these or is too small for the stages, or a number of
            channels is less than 1.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), appendix
        | https://arxiv.org/abs/1804.01947

    Example:
        >>> encoder, decoder = convolutional((3, 1000), latent_dim=2)
        >>> decoder(encoder(torch.rand(5, 3, 1000))).shape
        torch.Size([5, 3, 1000])
    """

    c, *sides = shape
    if len(sides) not in CONV or min(sides) < LEAST:
        raise ValueError(
            "A convolutional network wants series (channels, length), images (channels, height, "
            f"width) or volumes (channels, depth, height, width) with sides of at least {LEAST}, "
            f"but the samples have shape {tuple(shape)}. Use network='mlp' for them."
        )

    times = halvings(sides) if channels is None else [len(channels)] * len(sides)
    if channels is None:
        channels = [min(16 * 2**i, MOST[len(sides)]) for i in range(max(times))]
    if len(channels) == 0 or min(channels) < 1:
        raise ValueError(f"channels has to hold at least one size >= 1, but is {channels!r}.")
    base = left_of(sides, times)
    if min(base) < 2:
        raise ValueError(
            f"{len(channels)} stages leave {'x'.join(map(str, base))} of a sample of "
            f"{'x'.join(map(str, sides))}; sides of at least 2 are wanted, so give fewer channels."
        )

    stages = range(len(channels))
    flat = channels[-1] * math.prod(base)
    encoder = nn.Sequential(
        *(
            layer
            for stage, (i, o) in zip(stages, itertools.pairwise([c, *channels]), strict=True)
            for layer in halving(i, o, [2 if stage < n else 1 for n in times])
        ),
        nn.Flatten(),
        nn.Linear(flat, hidden),
        nn.ReLU(inplace=True),
        Float32Linear(hidden, latent_dim),
    )

    widths = [channels[-1], *(min(2 * o, channels[-1]) for o in reversed(channels))]
    steps = zip(
        *(upward(side, n, len(channels)) for side, n in zip(sides, times, strict=True)),
        strict=True,
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, hidden),
        nn.Linear(hidden, flat),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (channels[-1], *base)),
        *(
            layer
            for (i, o), step in zip(itertools.pairwise(widths), steps, strict=True)
            for layer in doubling(i, o, step)
        ),
        CONV[len(sides)](widths[-1], c, kernel_size=3, padding=1),
        Crop(*sides),
    )

    return encoder, decoder


def halvings(sides: Sequence[int]) -> list[int]:
    r"""Returns how often each side is halved, all of them in the first stages."""

    times = [math.ceil(math.log2(min(sides) / LEAST)) or 1] * len(sides)
    while math.prod(left := left_of(sides, times)) > POSITIONS:
        times = [n + (side > LEAST) for n, side in zip(times, left, strict=True)]
    return times


def left_of(sides: Sequence[int], times: Sequence[int]) -> list[int]:
    r"""Returns what is left of sides that are halved some times, rounding up each time."""

    return [-(-side >> n) for side, n in zip(sides, times, strict=True)]


def upward(side: int, times: int, stages: int) -> list[tuple[int, int]]:
    r"""Returns the scale and the padding of each stage for a side, which the last stages double.

    The padding is 0 where two rows have to go.
    """

    (base,) = left_of([side], [times])
    overshoot = (base << times) - side
    valid = [overshoot >> (times - i) & 1 for i in range(times)]
    return [(1, 1)] * (stages - times) + [(2, 1 - v) for v in valid]


def halving(channels_in: int, channels_out: int, scale: Sequence[int]) -> list[nn.Module]:
    r"""One stage of the encoder; a last odd row is averaged alone, as Keras' "same" does."""

    conv, pool = CONV[len(scale)], POOL[len(scale)]
    return [
        conv(channels_in, channels_out, kernel_size=3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        conv(channels_out, channels_out, kernel_size=3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        pool(tuple(scale), ceil_mode=True, count_include_pad=False),
    ]


def doubling(
    channels_in: int, channels_out: int, step: Sequence[tuple[int, int]]
) -> list[nn.Module]:
    r"""One stage of the decoder, which scales and pads each side as the step says."""

    scale, padding = zip(*step, strict=True)
    return [
        UpConv(channels_in, channels_out, padding, scale),
        nn.LeakyReLU(SLOPE, inplace=True),
        CONV[len(step)](channels_out, channels_out, kernel_size=3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
    ]

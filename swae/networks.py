r"""Encoders and decoders sized from the shape of the data.

The convolutional networks are those of the paper's MNIST experiment, drawn for any image. With
:math:`n` stages the encoder halves the image :math:`n` times,

.. math:: s = \lceil h / 2^n \rceil ,

each stage being two 3x3 convolutions and an average pooling that also keeps a last odd row. The
decoder doubles :math:`s` in :math:`n` stages and arrives at :math:`2^n s = h + o`. The overshoot
:math:`0 \leq o < 2^n` has to go on the way: a convolution without padding ("valid") takes 2 rows,
which are :math:`2^{r+1}` rows of the result when :math:`r` doublings follow. So the binary digits
of :math:`o` say which stages are valid, and the digit of 1 is a last row to crop. For
:math:`h = 28` and :math:`n = 3` this is the paper's decoder: 4, 8, 16 to 14, 28.

Images of 64 rows and columns or more, with sides that 2 divides, enter as blocks:
:math:`r \times r` pixels of :math:`c` channels become one of :math:`r^2 c`, and come out likewise.
So no convolution works at full resolution, where most of the time would go.

The decoder ends in logits; the output's activation belongs to the model.
"""

__all__ = [
    "Network",
    "build",
    "convolutional",
    "glorot_",
    "mlp",
]

import itertools
import math
from collections.abc import Sequence
from typing import Literal, final, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Network = Literal["auto", "convolutional", "mlp"]
r"""The names of the built-in networks."""

SLOPE = 0.2
r"""The slope of the paper's leaky ReLU where its argument is negative."""


@final
class Float32Linear(nn.Linear):
    r"""A linear layer that autocast leaves in float32: the last one before the codes.

    The penalty compares codes with samples of the prior to four digits; bfloat16 has three.
    """

    def forward(self, x: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


@final
class UpConv2d(nn.Conv2d):
    r"""A nearest upsampling by 2 and a 3x3 convolution, as one transposed convolution.

    Each upsampled pixel stands in a 2x2 block of equals, so the pair is the transposed
    convolution of stride 2 whose 4x4 kernel is the 3x3 kernel summed over 2x2 blocks of ones: the
    same result with 16 instead of 36 multiplications for each input pixel and pair of channels.
    Parameters, names and initial values are those of :class:`torch.nn.Conv2d`.
    """

    def __init__(self, channels_in: int, channels_out: int, padding: tuple[int, int]) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, padding=padding)

    def forward(self, x: Float[Tensor, "*batch i h w"]) -> Float[Tensor, "*batch o hh ww"]:
        blocks = F.avg_pool2d(self.weight, 2, stride=1, padding=1, divisor_override=1)
        kernel = blocks.flip(-2, -1).transpose(0, 1)
        padding = [2 - int(p) for p in self.padding]

        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=padding)


@final
class Crop(nn.Module):
    r"""Keeps the first h rows and w columns."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()

        self.height, self.width = height, width

    def forward(self, x: Float[Tensor, "*batch c h w"]) -> Float[Tensor, "*batch c hh ww"]:
        return x[..., : self.height, : self.width]

    def extra_repr(self) -> str:
        return f"{self.height}, {self.width}"


def build(
    shape: Sequence[int],
    latent_dim: int,
    network: Network = "auto",
) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates the encoder and the decoder for samples of a shape.

    Arguments:
        shape: The shape of one sample: :math:`(c, h, w)` of an image or :math:`(n)` of a vector.
        latent_dim: The dimension :math:`d` of the codes.
        network: ``convolutional`` for images, ``mlp`` for any shape, or ``auto``: the first
            for shapes of three sizes and the second for others.

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

    if network not in get_args(Network):
        raise ValueError(f"network has to be one of {get_args(Network)}, but is {network!r}.")
    if not isinstance(latent_dim, int) or latent_dim < 1:
        raise ValueError(f"latent_dim has to be a whole number >= 1, but is {latent_dim!r}.")
    if len(shape) == 0 or any(size < 1 for size in shape):
        raise ValueError(f"shape has to hold sizes >= 1, but is {tuple(shape)}.")

    if network == "convolutional" or (network == "auto" and len(shape) == 3):
        return in_blocks(shape, latent_dim)
    return mlp(shape, latent_dim)


def in_blocks(shape: Sequence[int], latent_dim: int) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates convolutional networks that see large images as blocks of pixels."""

    r = block_size(*shape[1:]) if len(shape) == 3 else 1
    if r == 1:
        return convolutional(shape, latent_dim)
    c, h, w = shape
    encoder, decoder = convolutional((r * r * c, h // r, w // r), latent_dim)
    return nn.Sequential(nn.PixelUnshuffle(r), *encoder), nn.Sequential(
        *decoder, nn.PixelShuffle(r)
    )


def block_size(height: int, width: int, least: int = 32) -> int:
    r"""Returns the largest power of 2 that divides both sides and leaves ``least`` of each."""

    r = 1
    while min(height, width) >= 2 * r * least and height % (2 * r) == width % (2 * r) == 0:
        r *= 2
    return r


def convolutional(
    shape: Sequence[int],
    latent_dim: int,
    channels: Sequence[int] | None = None,
    hidden: int = 128,
) -> tuple[nn.Sequential, nn.Sequential]:
    r"""Creates the paper's encoder and decoder, drawn for any image.

    Arguments:
        shape: The shape :math:`(c, h, w)` of an image, with h and w at least 4.
        latent_dim: The dimension :math:`d` of the codes.
        channels: The channels of each stage. If :py:`None`, stages of 16, 32, 64, ... (at most
            256) channels until the smaller side is 4 or less.
        hidden: The width of the dense layer next to the codes.

    Returns:
        The encoder and the decoder.

    Raises:
        ValueError: If the shape is no image's or is too small for the stages, or a number of
            channels is less than 1.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), appendix
        | https://arxiv.org/abs/1804.01947
    """

    if len(shape) != 3 or min(shape[1:]) < 4:
        raise ValueError(
            "A convolutional network wants images of shape (channels, height, width) with at "
            f"least 4 rows and columns, but the samples have shape {tuple(shape)}. "
            "Use network='mlp' for them."
        )

    c, h, w = shape
    if channels is None:
        channels = [min(16 * 2**i, 256) for i in range(math.ceil(math.log2(min(h, w) / 4)) or 1)]
    if len(channels) == 0 or min(channels) < 1:
        raise ValueError(f"channels has to hold at least one size >= 1, but is {channels!r}.")
    base = (ceil_shift(h, len(channels)), ceil_shift(w, len(channels)))
    if min(base) < 2:
        raise ValueError(
            f"{len(channels)} stages leave {base[0]}x{base[1]} of an image of {h}x{w}; "
            "at least 2x2 is wanted, so give fewer channels."
        )

    flat = channels[-1] * base[0] * base[1]
    encoder = nn.Sequential(
        *(layer for i, o in pairs([c, *channels]) for layer in halving(i, o)),
        nn.Flatten(),
        nn.Linear(flat, hidden),
        nn.ReLU(inplace=True),
        Float32Linear(hidden, latent_dim),
    )

    widths = [channels[-1], *(min(2 * o, channels[-1]) for o in reversed(channels))]
    paddings = zip(valid_stages(h, len(channels)), valid_stages(w, len(channels)), strict=True)
    decoder = nn.Sequential(
        nn.Linear(latent_dim, hidden),
        nn.Linear(hidden, flat),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (channels[-1], *base)),
        *(
            layer
            for (i, o), padding in zip(pairs(widths), paddings, strict=True)
            for layer in doubling(i, o, padding)
        ),
        nn.Conv2d(widths[-1], c, kernel_size=3, padding=1),
        Crop(h, w),
    )

    return encoder, decoder


def halving(channels_in: int, channels_out: int) -> list[nn.Module]:
    r"""One stage of the encoder; a last odd row is averaged alone, as Keras' "same" does."""

    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
    ]


def doubling(channels_in: int, channels_out: int, padding: tuple[int, int]) -> list[nn.Module]:
    r"""One stage of the decoder."""

    return [
        UpConv2d(channels_in, channels_out, padding),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
    ]


def ceil_shift(size: int, stages: int) -> int:
    r"""Returns what is left of a side that is halved, rounding up, at each stage."""

    return -(-size >> stages)


def valid_stages(size: int, stages: int) -> list[int]:
    r"""Returns the padding of each doubling, 0 where two rows have to go."""

    overshoot = (ceil_shift(size, stages) << stages) - size
    return [1 - (overshoot >> (stages - i) & 1) for i in range(stages)]


def pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(sizes))


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
    """

    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden has to hold sizes >= 1, but is {hidden!r}.")

    features = math.prod(shape)
    inward, outward = [features, *hidden], [latent_dim, *reversed(hidden)]

    encoder = nn.Sequential(
        nn.Flatten(),
        *(layer for i, o in pairs(inward) for layer in dense(i, o)),
        Float32Linear(inward[-1], latent_dim),
    )
    decoder = nn.Sequential(
        *(layer for i, o in pairs(outward) for layer in dense(i, o)),
        nn.Linear(outward[-1], features),
        nn.Unflatten(1, tuple(shape)),
    )

    return encoder, decoder


def dense(features_in: int, features_out: int) -> list[nn.Module]:
    return [nn.Linear(features_in, features_out), nn.LeakyReLU(SLOPE, inplace=True)]


@torch.no_grad()
def glorot_(module: nn.Module, generator: torch.Generator | None = None) -> None:
    r"""Fills a network in place with Glorot-uniform weights and zero biases, as Keras does.

    Arguments:
        module: The network.
        generator: The source of randomness; torch's global one if :py:`None`.

    References:
        | Understanding the difficulty of training deep feedforward neural networks
        | (Glorot and Bengio, 2010), Eq. 16

    Example:
        >>> layer = nn.Linear(3, 3)
        >>> glorot_(layer)
        >>> bool(layer.weight.abs().max() <= 1)
        True
    """

    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

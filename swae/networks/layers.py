r"""The layers that the networks are made of, each in one, two or three dimensions.

A layer takes tensors of shape :math:`(n, c, l)`, :math:`(n, c, h, w)` or :math:`(n, c, d, h, w)`.
What differs from one side to another, such as which of them is doubled, is a sequence with an
entry for each side; its length says how many there are.
"""

__all__ = [
    "CONV",
    "POOL",
    "SLOPE",
    "WEIGHTED",
    "Crop",
    "Float32Linear",
    "UpConv",
    "VoxelShuffle",
    "VoxelUnshuffle",
    "glorot_",
]

import math
from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

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
class UpConv(nn.Module):
    r"""A nearest upsampling by 2 and a convolution of size 3, as one transposed convolution.

    Each upsampled pixel stands in a 2x2 block of equals, so the pair is the transposed
    convolution of stride 2 whose 4x4 kernel is the 3x3 kernel summed over 2x2 blocks of ones: the
    same result with 16 instead of 36 multiplications for each input pixel and pair of channels.
    Along a side that is not doubled the kernel keeps its 3 and the stride is 1. Parameters, names
    and initial values are those of a convolution such as :class:`torch.nn.Conv2d`.

    Arguments:
        channels_in: The number of channels that come in.
        channels_out: The number that go out.
        padding: The padding of the convolution along each side, 0 or 1.
        scale: The factor by which each side is upsampled, 1 or 2; if :py:`None`, all by 2.

    Example:
        >>> UpConv(3, 5, padding=(1, 0))(torch.rand(2, 3, 4, 4)).shape
        torch.Size([2, 5, 8, 6])
        >>> UpConv(3, 5, padding=(1, 1), scale=(1, 2))(torch.rand(2, 3, 4, 4)).shape
        torch.Size([2, 5, 4, 8])
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        padding: Sequence[int],
        scale: Sequence[int] | None = None,
    ) -> None:
        super().__init__()

        self.padding = tuple(padding)
        self.scale = (2,) * len(self.padding) if scale is None else tuple(scale)
        self.channels = channels_in, channels_out
        convolution = CONV[len(self.padding)](channels_in, channels_out, kernel_size=3)
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x: Float[Tensor, "n i *sides"]) -> Float[Tensor, "n o *larger"]:
        sides = len(self.padding)
        # A sum over blocks is their average times their size, a power of 2 that rounds nothing.
        blocks = AVERAGE[sides](
            self.weight, self.scale, stride=1, padding=[s - 1 for s in self.scale]
        ) * math.prod(self.scale)
        kernel = blocks.flip(*range(2, 2 + sides)).transpose(0, 1)
        padding = [2 - p for p in self.padding]

        return TRANSPOSED[sides](x, kernel, self.bias, stride=self.scale, padding=padding)

    def extra_repr(self) -> str:
        return "{}, {}, padding={}, scale={}".format(*self.channels, self.padding, self.scale)


WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, UpConv)
r"""The layers that have a weight and a bias."""


@final
class Crop(nn.Module):
    r"""Keeps the first entries along each side.

    Arguments:
        sides: How many entries of each side are kept.
    """

    def __init__(self, *sides: int) -> None:
        super().__init__()

        self.sides = sides

    def forward(self, x: Float[Tensor, "n c *larger"]) -> Float[Tensor, "n c *sides"]:
        for side, size in enumerate(self.sides, start=2):
            x = x.narrow(side, 0, size)
        return x

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.sides))


@final
class VoxelUnshuffle(nn.Module):
    r"""Turns blocks of a volume into channels, as :class:`torch.nn.PixelUnshuffle` does of images.

    Arguments:
        r: The side of a block.

    Example:
        >>> x = torch.rand(2, 3, 4, 6, 8)
        >>> VoxelUnshuffle(2)(x).shape
        torch.Size([2, 24, 2, 3, 4])
        >>> torch.equal(VoxelShuffle(2)(VoxelUnshuffle(2)(x)), x)
        True
    """

    def __init__(self, r: int) -> None:
        super().__init__()

        self.r = r

    def forward(self, x: Float[Tensor, "n c *larger"]) -> Float[Tensor, "n cc *sides"]:
        for axis in (4, 3, 2):
            x = x.unflatten(axis, (-1, self.r))
        return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)

    def extra_repr(self) -> str:
        return str(self.r)


@final
class VoxelShuffle(nn.Module):
    r"""Turns channels into blocks of a volume: the inverse of :class:`VoxelUnshuffle`.

    Arguments:
        r: The side of a block.
    """

    def __init__(self, r: int) -> None:
        super().__init__()

        self.r = r

    def forward(self, x: Float[Tensor, "n cc *sides"]) -> Float[Tensor, "n c *larger"]:
        x = x.unflatten(1, (-1, self.r, self.r, self.r)).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def extra_repr(self) -> str:
        return str(self.r)


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
        if isinstance(layer, WEIGHTED):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

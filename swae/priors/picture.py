r"""A law that is drawn: a picture whose dark parts are dense.

Let :math:`p_{rc}` be the share of all darkness that the pixel in row :math:`r` and column
:math:`c` has. The law is uniform within each pixel, so it is sampled by two inverse CDFs, that of
the rows and that of the columns given the row,

.. math::
    r = F^{-1}(u_1) , \qquad F(r) = \sum_{r' \leq r} \sum_c p_{r'c} , \qquad\qquad
    c = F_r^{-1}(u_2) , \qquad F_r(c) = \sum_{c' \leq c} p_{rc'} \Big/ \sum_{c'} p_{rc'} .

No uniform is wasted: how far :math:`u_1` has come within the step of :math:`F` that it hits is
itself uniform, and is the place in the pixel. So two uniforms make a code, and quasi-random ones
a set of codes that covers the picture evenly.
"""

__all__ = ["FromPicture"]

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn

from ..pixels import eight_bits, opaque, upright
from .law import CubePrior
from .maps import within

WHITE = 0.02
r"""The darkness up to which a pixel is white: what JPEG makes of white is not quite."""

SIDE = 512
r"""The most pixels along a side; larger pictures are reduced to it."""


@final
class FromPicture(CubePrior):
    r"""The law of a picture, in the plane: dark is dense.

    The longer side of the picture spans :math:`[-1, 1]`, the middle is at zero, and up is up.

    The darkness of a Pillow image is 1 minus its gray; where it is transparent in parts, its
    opacity. Less than 2 % counts as none, and a picture of more than 512 pixels a side is reduced
    to that.

    Arguments:
        picture: A Pillow image, or an array of densities >= 0 on any scale, with shape
            :math:`(h, w)`, the top row first. It is stored with a model's weights.

    Raises:
        TypeError: If it is neither.
        ValueError: If it is blank, or an array of another shape, negative or not finite.

    Example:
        >>> corner = FromPicture([[0.0, 1.0], [0.0, 0.0]])
        >>> corner.contains(torch.tensor([[0.5, 0.5], [0.5, -0.5]]))
        tensor([ True, False])
    """

    pixels: Tensor
    row_ends: Tensor
    column_ends: Tensor

    def __init__(
        self, picture: Image.Image | Tensor | np.ndarray | Sequence[Sequence[float]]
    ) -> None:
        super().__init__(dim=2, cube_dim=2)

        shares = as_shares(darkness(picture) if isinstance(picture, Image.Image) else picture)
        self.register_buffer("pixels", shares)
        for name in ("row_ends", "column_ends"):
            self.register_buffer(name, torch.empty(0), persistent=False)
        sum_up(self)
        self.register_load_state_dict_post_hook(sum_up)

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        height, width = self.pixels.shape
        side = max(height, width)
        u = u.clamp_max(1 - torch.finfo(u.dtype).eps / 2)  # 1 itself is beyond the last step
        first = torch.zeros_like(u[..., 0], dtype=torch.long)
        row, down = invert(self.row_ends[None].to(u), first, u[..., 0], side)
        column, across = invert(self.column_ends.to(u), row, u[..., 1], side)
        x, y = 2 * (column + across) - width, height - 2 * (row + down)
        return torch.stack((x, y), dim=-1) / side

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        return self.share_at(z) > 0

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        share = self.share_at(z)
        area = (2 / max(self.pixels.shape)) ** 2
        # Flat within a pixel: the sum gives codes a gradient, which is zero.
        return within(share > 0, share.log() - math.log(area) + 0 * z.sum(dim=-1))

    def share_at(self, z: Tensor) -> Tensor:
        r"""Returns the share of the pixel that each code lies in, zero beside the picture."""

        height, width = self.pixels.shape
        column = ((z[..., 0] * max(height, width) + width) / 2).floor()
        row = ((height - z[..., 1] * max(height, width)) / 2).floor()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place = torch.where(inside, row * width + column, 0).long()
        return torch.where(inside, self.pixels.to(z).flatten()[place], 0)

    def extra_repr(self) -> str:
        height, width = self.pixels.shape
        return f"{width} x {height} pixels"


def invert(ends: Tensor, which: Tensor, u: Tensor, side: int) -> tuple[Tensor, Tensor]:
    r"""Returns which step of a CDF each u hits, and how far it has come within the step.

    Arguments:
        ends: The values of CDFs at the ends of their steps, with shape :math:`(k, n)`. A step
            without height is never hit, for its end is no larger than the one before.
        which: Which of the CDFs each u is for, with shape :math:`(*)`.
        u: The values to invert, below 1, with shape :math:`(*)`.
        side: The number of pixels that [-1, 1] holds.
    """

    n, flat = ends.shape[1], ends.flatten()
    # By halves: the first step whose end is above u. It takes no table of n for each u.
    step, last = torch.zeros_like(which), torch.full_like(which, n - 1)
    for _ in range(n.bit_length()):
        middle = (step + last) // 2
        beyond = flat[which * n + middle] <= u
        step, last = (
            torch.where(beyond & (step < last), middle + 1, step),
            torch.where(beyond, last, middle),
        )
    end, start = flat[which * n + step], flat[which * n + (step - 1).clamp_min(0)]
    start = torch.where(step > 0, start, 0)
    # Rounding must not carry a code over the border of its pixel, behind which may be white.
    margin = min(0.5, 2 * side * torch.finfo(u.dtype).eps)
    return step, ((u - start) / (end - start)).clamp(margin, 1 - margin)


def sum_up(prior: nn.Module, *_: Any) -> None:  # noqa: ANN401 - what a hook is told besides
    r"""Computes both CDFs of a picture's shares, exactly and in their order.

    In double precision and on the CPU: parallel sums in single precision need not even ascend.
    """

    pixels: Tensor = prior.get_buffer("pixels")
    columns = pixels.cpu().double().cumsum(dim=1)
    rows = columns[:, -1].cumsum(dim=0)
    tiny = torch.finfo(torch.float64).tiny  # a row without darkness is never hit
    prior.row_ends = (rows / rows[-1]).to(pixels)
    prior.column_ends = (columns / columns[:, -1:].clamp_min(tiny)).to(pixels)


def as_shares(densities: Any) -> Tensor:  # noqa: ANN401 - whatever was given
    r"""Returns each pixel's share of the sum, where there are densities to sum."""

    if isinstance(densities, str) or not hasattr(densities, "__len__"):
        raise TypeError(
            "picture has to be a Pillow image or an array of densities, but is a "
            f"{type(densities).__name__}; PIL.Image.open(path) opens a file."
        )
    densities = torch.as_tensor(densities).double().cpu()
    if densities.ndim != 2 or densities.numel() == 0:
        raise ValueError(
            f"picture has to have shape (height, width), but has {tuple(densities.shape)}."
        )
    if not (torch.isfinite(densities).all() and (densities >= 0).all()):
        raise ValueError("picture has to hold finite densities >= 0, but holds others.")
    peak = densities.max()
    if peak == 0:
        raise ValueError(
            "picture has to be dark somewhere, but is blank: all of it is white, or transparent."
        )
    densities = densities / peak
    return (densities / densities.sum()).to(torch.get_default_dtype())


def darkness(image: Image.Image) -> NDArray[np.float32]:
    r"""Returns how dark a picture is, in [0, 1] with shape :math:`(h, w)`."""

    image = eight_bits(upright(image), image.format)
    shade = opacity(image)
    if shade is None:
        shade = ImageOps.invert(opaque(image).convert("L"))
    shade = shade.point([v if v > 255 * WHITE else 0 for v in range(256)])
    shade.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    share: NDArray[np.float32] = np.asarray(shade, dtype=np.float32) / np.float32(255)
    return share


def opacity(image: Image.Image) -> Image.Image | None:
    r"""Returns the alpha channel, unless there is none or it is the same everywhere."""

    if not image.has_transparency_data:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return alpha if np.ptp(np.asarray(alpha)) > 0 else None

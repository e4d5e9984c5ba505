r"""Mixtures of Gaussians."""

__all__ = ["Mixture"]

import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .law import CubePrior
from .maps import TAIL, check_number, polar, standard_normal


@final
class Mixture(CubePrior):
    r"""A mixture of isotropic Gaussians.

    .. math:: z = \mu_c + \sigma_c \epsilon , \qquad c \sim \mathrm{Cat}(\pi)

    Arguments:
        means: The means :math:`\mu_c`, with shape :math:`(C, d)`.
        scales: The deviations :math:`\sigma_c`, one for all or with shape :math:`(C)`.
        weights: The relative weights :math:`\pi_c`, with shape :math:`(C)`; equal if
            :py:`None`.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, a scale is not positive, or
            the weights are negative or sum to zero.

    Example:
        >>> Mixture([[-1.0, 0.0], [1.0, 0.0]], scales=0.1).sample(5).shape
        torch.Size([5, 2])
    """

    means: Tensor
    scales: Tensor
    weights: Tensor

    def __init__(
        self,
        means: Tensor | np.ndarray | Sequence[Sequence[float]],
        scales: Tensor | np.ndarray | Sequence[float] | float = 1.0,
        weights: Tensor | np.ndarray | Sequence[float] | None = None,
    ) -> None:
        means = torch.as_tensor(means, dtype=torch.get_default_dtype())
        if means.ndim != 2 or means.shape[0] == 0 or means.shape[1] == 0:
            raise ValueError(
                f"means has to have shape (components, dim), but has {tuple(means.shape)}."
            )
        if not torch.isfinite(means).all():
            raise ValueError("means has to be finite, but holds NaN or infinity.")
        super().__init__(means.shape[1], cube_dim=means.shape[1] + 1)

        components = means.shape[0]
        scales = torch.as_tensor(scales, dtype=means.dtype)
        weights = torch.ones(components) if weights is None else torch.as_tensor(weights)
        fits = scales.ndim <= 1 and scales.numel() in (1, components)
        if not (fits and (scales > 0).all() and torch.isfinite(scales).all()):
            raise ValueError(
                f"scales has to be one or {components} finite numbers > 0, but is {scales}."
            )
        fits = weights.shape == (components,)
        if not (fits and (weights >= 0).all() and 0 < weights.sum() < math.inf):
            raise ValueError(
                f"weights has to be {components} finite numbers >= 0 with a positive sum, "
                f"but is {weights}."
            )

        self.register_buffer("means", means.clone())
        self.register_buffer("scales", scales.expand(components).clone())
        self.register_buffer("weights", (weights / weights.sum()).to(means.dtype))

    @classmethod
    def on_circle(
        cls, components: int = 10, radius: float = 1.0, scale: float = 0.1, dim: int = 2
    ) -> "Mixture":
        r"""Creates equal components whose means are equispaced on a circle.

        Arguments:
            components: The number of components.
            radius: The radius of the circle.
            scale: The deviation of each component.
            dim: The dimension; the circle lies in the plane of the first two coordinates.

        Example:
            >>> Mixture.on_circle(8).means.shape
            torch.Size([8, 2])
        """

        if not isinstance(components, int) or components < 1:
            raise ValueError(f"components has to be a whole number >= 1, but is {components!r}.")
        if dim < 2:
            raise ValueError(f"A mixture on a circle wants dim >= 2, but dim is {dim}.")
        means = torch.zeros(components, dim)
        means[:, :2] = polar(
            torch.full((components,), check_number("radius", radius, above=0)),
            torch.arange(components) / components,
        )
        return cls(means, check_number("scale", scale, above=0))

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        ends = self.weights.to(u).cumsum(dim=0)
        ends = ends / ends[-1]  # rounded below 1, it would let the last component in at weight 0
        c = torch.searchsorted(ends, u[..., 0].contiguous(), right=True)
        c = c.clamp_max(len(ends) - 1)
        return self.place(c, u[..., 1:])

    @property
    def components(self) -> int:
        r"""The number of components C."""

        return len(self.means)

    def sample_components(
        self,
        c: Int[Tensor, " n"],
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        r"""Draws a code from each given component, :math:`\mu_c + \sigma_c \epsilon`.

        Arguments:
            c: The component of each code, from 0, with shape :math:`(n)`.
            generator: The source of randomness; torch's global one if :py:`None`.
            quasi: Whether codes that follow each other are spread evenly.
            dtype: The dtype of the result.

        Returns:
            The codes, with shape :math:`(n, d)`, on the device of c.

        Raises:
            ValueError: If there is no such component.

        Example:
            >>> prior = Mixture([[-1.0, 0.0], [1.0, 0.0]], scales=1e-6)
            >>> prior.sample_components(torch.tensor([1, 0])).round()[:, 0]
            tensor([ 1., -1.])
        """

        strange = c[(c < 0) | (c >= self.components)]
        if len(strange):
            raise ValueError(
                f"c has to hold components, 0 to {self.components - 1}, but holds "
                f"{int(strange[0])}."
            )
        u = self.uniforms(len(c), generator, quasi, c.device, dtype)[:, 1:]
        return self.place(c, u)

    def place(self, c: Int[Tensor, "*batch"], u: Float[Tensor, "*batch d"]) -> Tensor:
        return self.means.to(u)[c] + self.scales.to(u)[c, None] * standard_normal(u)

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        distance = (z.unsqueeze(-2) - self.means.to(z)).norm(dim=-1)
        return (distance <= (math.sqrt(self.dim) + TAIL) * self.scales.to(z)).any(dim=-1)

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        scales = self.scales.to(z)
        squares = (z.unsqueeze(-2) - self.means.to(z)).square().sum(dim=-1)
        logs = -squares / (2 * scales**2) - self.dim * (math.sqrt(2 * math.pi) * scales).log()
        return (logs + self.weights.to(z).log()).logsumexp(dim=-1)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, components={self.components}"

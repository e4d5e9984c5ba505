r"""The cube, the normal law, and round shapes."""

__all__ = ["Ball", "Bowl", "Circle", "Normal", "Ring", "Sphere", "Uniform"]

import math
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .law import CubePrior
from .maps import TAIL, check_number, polar, standard_normal, within

SHELL = 0.05
r"""The half width, in radii, of the shell that counts as a sphere, which no code hits itself."""


@final
class Uniform(CubePrior):
    r"""The uniform law on the cube :math:`[-1, 1]^d`.

    Arguments:
        dim: The dimension :math:`d`.

    Example:
        >>> Uniform(3).sample(5).shape
        torch.Size([5, 3])
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, cube_dim=dim)

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        return 2 * u - 1

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        return (z.abs() <= 1).all(dim=-1)

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        return within(self.contains(z), 0 * z.sum(dim=-1) - self.dim * math.log(2))


@final
class Normal(CubePrior):
    r"""The standard normal law :math:`\mathcal{N}(0, I)`.

    Arguments:
        dim: The dimension :math:`d`.

    Example:
        >>> Normal(3).sample(5, quasi=True).shape
        torch.Size([5, 3])
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, cube_dim=dim)

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        return standard_normal(u)

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        return z.norm(dim=-1) <= math.sqrt(self.dim) + TAIL

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        return -z.square().sum(dim=-1) / 2 - self.dim / 2 * math.log(2 * math.pi)


@final
class Ring(CubePrior):
    r"""The paper's ring: a circle line with Gaussian noise on each coordinate.

    .. math:: z = r (\cos 2 \pi u_1, \sin 2 \pi u_1) + \sigma \epsilon

    Arguments:
        radius: The radius :math:`r`.
        sigma: The deviation :math:`\sigma` of the noise.
        stratified: Whether the angles of an independent draw are evenly spaced, as in the
            authors' code. A quasi-random draw spreads them by itself.

    Example:
        >>> Ring(sigma=0.0).sample(5).norm(dim=-1).allclose(torch.ones(5))
        True
    """

    def __init__(
        self, radius: float = 1.0, sigma: float = 0.01, *, stratified: bool = False
    ) -> None:
        super().__init__(dim=2, cube_dim=3)

        self.radius = check_number("radius", radius, above=0)
        self.sigma = check_number("sigma", sigma, least=0)
        self.stratified = stratified

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        radius = torch.full_like(u[..., 0], self.radius)
        return polar(radius, u[..., 0]) + self.sigma * standard_normal(u[..., 1:])

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        width = max((math.sqrt(2) + TAIL) * self.sigma, SHELL * self.radius)
        return (z.norm(dim=-1) - self.radius).abs() <= width

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"] | None:
        # The circle line convolved with the noise: a Bessel function of the angle's integral.
        if self.sigma == 0:
            return None
        r, variance = z.norm(dim=-1), self.sigma**2
        bessel = torch.special.i0e(r * self.radius / variance).log()
        return bessel - (r - self.radius) ** 2 / (2 * variance) - math.log(2 * math.pi * variance)

    def extra_repr(self) -> str:
        return f"radius={self.radius}, sigma={self.sigma}, stratified={self.stratified}"


@final
class Circle(CubePrior):
    r"""The paper's circle: radius and angle both uniform, so that the centre is dense.

    Its density is :math:`1 / (2 \pi r)`; :class:`Ball` is the uniform disk.

    Example:
        >>> bool((Circle().sample(5).norm(dim=-1) <= 1).all())
        True
    """

    def __init__(self) -> None:
        super().__init__(dim=2, cube_dim=2)

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        return polar(u[..., 1], u[..., 0])

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        return z.norm(dim=-1) <= 1

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        r = z.norm(dim=-1).clamp_min(torch.finfo(z.dtype).tiny)  # its centre is a pole
        return within(self.contains(z), -(2 * math.pi * r).log())


@final
class Bowl(CubePrior):
    r"""A disk whose density rises in proportion to the radius: :math:`r = u^{1/3}`.

    The paper names a bowl and does not define it.

    Example:
        >>> bool((Bowl().sample(5).norm(dim=-1) <= 1).all())
        True
    """

    def __init__(self) -> None:
        super().__init__(dim=2, cube_dim=2)

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        return polar(u[..., 1].pow(1 / 3), u[..., 0])

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        return z.norm(dim=-1) <= 1

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        r = z.norm(dim=-1).clamp_min(torch.finfo(z.dtype).tiny)  # its centre is empty
        return within(self.contains(z), (3 / (2 * math.pi) * r).log())


@final
class Sphere(CubePrior):
    r"""The uniform law on the unit sphere :math:`S^{d-1}` of :math:`\mathbb{R}^d`.

    Arguments:
        dim: The dimension :math:`d` of the space, at least 2.

    Example:
        >>> Sphere(3).sample(5).norm(dim=-1).allclose(torch.ones(5))
        True
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, cube_dim=1 if dim == 2 else dim)

        if dim < 2:
            raise ValueError("A sphere wants dim >= 2, but dim is 1: two points are no sphere.")

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        return on_sphere(u, self.dim)

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        return (z.norm(dim=-1) - 1).abs() <= SHELL


@final
class Ball(CubePrior):
    r"""The uniform law in the unit ball of :math:`\mathbb{R}^d`: a disk for d = 2.

    Arguments:
        dim: The dimension :math:`d`.

    Example:
        >>> bool((Ball(3).sample(5).norm(dim=-1) <= 1).all())
        True
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, cube_dim={1: 1, 2: 2}.get(dim, dim + 1))

    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        if self.dim == 1:
            return 2 * u - 1
        radius = u[..., :1].pow(1 / self.dim)
        return radius * on_sphere(u[..., 1:], self.dim)

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        return z.norm(dim=-1) <= 1

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        volume = self.dim / 2 * math.log(math.pi) - math.lgamma(self.dim / 2 + 1)
        return within(self.contains(z), 0 * z.sum(dim=-1) - volume)


def on_sphere(u: Tensor, dim: int) -> Tensor:
    r"""Maps :math:`[0, 1]` to the circle, and :math:`[0, 1]^d` to the sphere through normals."""

    if dim == 2:
        return polar(torch.ones_like(u[..., 0]), u[..., 0])
    z = standard_normal(u)
    tiny = torch.finfo(z.dtype).tiny
    return z / z.norm(dim=-1, keepdim=True).clamp_min(tiny)

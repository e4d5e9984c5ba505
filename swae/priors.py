r"""Laws that codes can be pulled to.

A prior :math:`q_Z` need not have a density; it has to be sampled. Each built-in one is a map
from a unit cube,

.. math:: z = g(u) , \qquad u \sim \mathcal{U}[0, 1[^k ,

where :math:`k` may exceed the dimension :math:`d` of the codes (the ring takes an angle and two
noises, a mixture a choice and :math:`d` noises). So the same map gives independent samples, and
quasi-random ones, whose points cover the cube more evenly: a Sobol set of fixed points, moved by
one uniform shift modulo 1 that is fresh at each draw. Every point of a shifted set is uniform, so
means over it are unbiased; their variance is what drops (Cranley and Patterson, 1976).

A user's own law (:class:`FromSamples`, :class:`FromFunction`, most of
:class:`FromDistribution`) has no such map. It says so with ``cube_dim = None`` and is drawn
independently, whatever is asked for.
"""

__all__ = [
    "Ball",
    "Bowl",
    "Circle",
    "FromDistribution",
    "FromFunction",
    "FromSamples",
    "Mixture",
    "Normal",
    "Prior",
    "Ring",
    "Sphere",
    "Uniform",
    "name_of",
    "prior_from_name",
]

import abc
import difflib
import functools
import inspect
import math
import numbers
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from .seeding import stream_seed

TAIL = 3.72
r"""The t for which :math:`\|z\| > \sqrt{d} + t` has a probability below 1/1000, z standard normal.

By the concentration of Lipschitz functions, :math:`P \leq \exp(-t^2 / 2)`.
"""

SHELL = 0.05
r"""The half width, in radii, of the shell that counts as a sphere, which no code hits itself."""


class Prior(nn.Module, abc.ABC):
    r"""Abstract law of the codes.

    Arguments:
        dim: The dimension :math:`d` of the codes.
        cube_dim: The dimension :math:`k` of the cube that :meth:`from_cube` maps, or :py:`None`
            where the law has no such map.

    Raises:
        ValueError: If ``dim`` is less than 1.
    """

    def __init__(self, dim: int, cube_dim: int | None) -> None:
        super().__init__()

        if not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim has to be a whole number >= 1, but is {dim!r}.")

        self.dim = dim
        self.cube_dim = cube_dim

    @abc.abstractmethod
    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        r"""Draws codes.

        Arguments:
            n: The number of codes.
            generator: The source of randomness; torch's global one if :py:`None`.
            quasi: Whether to spread the codes evenly (a shifted Sobol set) where the law has a
                map from the cube. Where it has none, they are independent.
            device: The device of the result.
            dtype: The dtype of the result.

        Returns:
            The codes, with shape :math:`(n, d)`.
        """

    @abc.abstractmethod
    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"] | None:
        r"""Tells which codes lie where the prior is.

        Arguments:
            z: The codes, with shape :math:`(*, d)`.

        Returns:
            Whether each is inside the support, with shape :math:`(*)`; for laws with Gaussian
            tails, inside a region that holds at least 99.9 % of the mass. :py:`None` where the
            support is not known.
        """

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"] | None:
        r"""Computes the logarithm of the prior's density.

        Arguments:
            z: The codes, with shape :math:`(*, d)`.

        Returns:
            :math:`\log q_Z(z)` in nats, with shape :math:`(*)`, :math:`-\infty` outside the
            support. :py:`None` where there is no density.
        """

        return None

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class CubePrior(Prior):
    r"""Abstract law that is the image of a unit cube."""

    cube_dim: int
    stratified: bool = False  # whether u_1 is evenly spaced within an independent draw

    @abc.abstractmethod
    def from_cube(self, u: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        r"""Maps uniform points to codes.

        Arguments:
            u: The points of :math:`[0, 1]^k`, with shape :math:`(*, k)`.

        Returns:
            The codes, with shape :math:`(*, d)`.
        """

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        u = self.uniforms(n, generator, quasi, device, dtype)
        return self.from_cube(u)

    def uniforms(
        self,
        n: int,
        generator: torch.Generator | None,
        quasi: bool,
        device: torch.device | None,
        dtype: torch.dtype | None,
    ) -> Float[Tensor, "n k"]:
        r"""Draws the points of the cube, independent or quasi-random."""

        device = device or torch.get_default_device()
        dtype = dtype or torch.get_default_dtype()
        source = device if generator is None else generator.device
        rows = 1 if quasi else n
        u = torch.rand(rows, self.cube_dim, generator=generator, device=source, dtype=dtype)
        u = u.to(device)
        if quasi:
            return (sobol(n, self.cube_dim, device, dtype) + u).remainder(1)
        if self.stratified:
            u[:, 0] = torch.arange(n, device=device, dtype=dtype) / n
        return u


@functools.lru_cache(maxsize=16)
def sobol(n: int, dim: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "n k"]:
    r"""Returns the first n points of one scrambled Sobol sequence, the same at every call."""

    engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=stream_seed(0, "sobol"))
    return engine.draw(n, dtype=torch.float64).to(device, dtype)


def standard_normal(u: Tensor) -> Tensor:
    r"""Maps uniforms to standard normals by the inverse CDF, clamped to where it is finite."""

    eps = torch.finfo(u.dtype).eps
    return math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(eps - 1, 1 - eps))


def polar(radius: Tensor, turn: Tensor) -> Tensor:
    r"""Returns the points of the plane at a radius and an angle counted in turns."""

    angle = 2 * math.pi * turn
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=-1)


def within(inside: Tensor, log_prob: Tensor) -> Tensor:
    r"""Returns a log-density that is minus infinity outside the support."""

    return torch.where(inside, log_prob, -math.inf)


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
        return self.means.to(u)[c] + self.scales.to(u)[c, None] * standard_normal(u[..., 1:])

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        distance = (z.unsqueeze(-2) - self.means.to(z)).norm(dim=-1)
        return (distance <= (math.sqrt(self.dim) + TAIL) * self.scales.to(z)).any(dim=-1)

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        scales = self.scales.to(z)
        squares = (z.unsqueeze(-2) - self.means.to(z)).square().sum(dim=-1)
        logs = -squares / (2 * scales**2) - self.dim * (math.sqrt(2 * math.pi) * scales).log()
        return (logs + self.weights.to(z).log()).logsumexp(dim=-1)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, components={len(self.means)}"


@final
class FromSamples(Prior):
    r"""The law of an array of samples, drawn with replacement.

    Arguments:
        samples: The samples, with shape :math:`(N, d)`. They are stored with a model's weights.

    Raises:
        ValueError: If the array is not two-dimensional, is empty or has non-finite values.

    Example:
        >>> FromSamples([[0.0, 1.0]]).sample(2)
        tensor([[0., 1.],
                [0., 1.]])
    """

    samples: Tensor

    def __init__(self, samples: Tensor | np.ndarray | Sequence[Sequence[float]]) -> None:
        samples = torch.as_tensor(samples, dtype=torch.get_default_dtype())
        if samples.ndim != 2 or samples.numel() == 0:
            raise ValueError(
                f"samples has to have shape (n, dim), but has {tuple(samples.shape)}."
            )
        if not torch.isfinite(samples).all():
            raise ValueError("samples has to be finite, but holds NaN or infinity.")
        super().__init__(samples.shape[1], cube_dim=None)

        self.register_buffer("samples", samples.clone())

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        source = self.samples.device if generator is None else generator.device
        rows = torch.randint(len(self.samples), (n,), generator=generator, device=source)
        return self.samples[rows.to(self.samples.device)].to(device, dtype)

    def contains(self, z: Float[Tensor, "*batch d"]) -> None:
        return None


@final
class FromDistribution(Prior):
    r"""The law of a :class:`torch.distributions.Distribution` of vectors.

    Where the distribution is a product of one-dimensional laws with an inverse CDF, that is its
    map from the cube. Else it is drawn by its own ``sample``, with torch's global generator
    seeded from the given one and put back afterwards.

    Arguments:
        distribution: The distribution, with an event of shape :math:`(d)` and no batch.

    Raises:
        TypeError: If it is no distribution.
        ValueError: If its shapes are others.

    Example:
        >>> laplace = torch.distributions.Laplace(torch.zeros(3), torch.ones(3))
        >>> FromDistribution(torch.distributions.Independent(laplace, 1)).cube_dim
        3
    """

    def __init__(self, distribution: Distribution) -> None:
        if not isinstance(distribution, Distribution):
            raise TypeError(
                "distribution has to be a torch.distributions.Distribution, "
                f"but is a {type(distribution).__name__}."
            )
        if len(distribution.event_shape) != 1 or distribution.batch_shape:
            raise ValueError(
                "distribution has to have an event of shape (dim,) and no batch, but has event "
                f"{tuple(distribution.event_shape)} and batch {tuple(distribution.batch_shape)}; "
                "torch.distributions.Independent(..., 1) makes a batch an event."
            )
        dim = distribution.event_shape[0]
        self_marginals = marginals(distribution)
        super().__init__(dim, cube_dim=None if self_marginals is None else dim)

        self.distribution = distribution
        self.marginals = self_marginals
        with torch.random.fork_rng(devices=[]):
            self.own = distribution.sample()  # a code inside, for log_prob

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        if quasi and self.marginals is not None:
            u = Uniform(self.dim).uniforms(n, generator, quasi, None, dtype)
            eps = torch.finfo(u.dtype).eps
            return self.marginals.icdf(u.clamp(eps, 1 - eps)).to(device, dtype)
        if generator is None:
            return self.distribution.sample((n,)).to(device, dtype)
        with torch.random.fork_rng():
            seed = torch.randint(2**62, (), generator=generator, device=generator.device)
            torch.manual_seed(int(seed))
            return self.distribution.sample((n,)).to(device, dtype)

    def contains(self, z: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"] | None:
        try:
            support = self.distribution.support
        except NotImplementedError:
            return None
        return None if support is None else support.check(z)

    def log_prob(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"] | None:
        inside = self.contains(z)
        if inside is None:
            return None
        # A distribution refuses what is outside: there it is asked for a code of its own.
        z = torch.where(inside[..., None], z, self.own.to(z))
        try:
            return within(inside, self.distribution.log_prob(z))
        except NotImplementedError:
            return None


def marginals(distribution: Distribution) -> Distribution | None:
    r"""Returns the product of one-dimensional laws with an inverse CDF, where it is one."""

    if not isinstance(distribution, Independent):
        return None
    base = distribution.base_dist
    if base.event_shape:
        return None
    try:
        base.icdf(torch.full(base.batch_shape, 0.5))
    except NotImplementedError:
        return None
    return base


@final
class FromFunction(Prior):
    r"""The law of what a function returns.

    Arguments:
        function: Returns n samples, with shape :math:`(n, d)`, when called as
            ``function(n, generator)``. The generator is :py:`None` where torch's global one is
            meant.
        dim: The dimension :math:`d`.

    Raises:
        TypeError: If the function can't be called so.

    Example:
        >>> moon = FromFunction(lambda n, generator: torch.rand(n, 2, generator=generator), dim=2)
        >>> moon.sample(5).shape
        torch.Size([5, 2])
    """

    def __init__(
        self, function: Callable[[int, torch.Generator | None], Tensor], dim: int
    ) -> None:
        super().__init__(dim, cube_dim=None)

        if not callable(function):
            raise TypeError(f"function has to be callable, but is a {type(function).__name__}.")
        self.function = function

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        z = torch.as_tensor(self.function(n, generator))
        if z.shape != (n, self.dim):
            raise ValueError(
                f"The prior's function has to return shape {(n, self.dim)}, "
                f"but returned {tuple(z.shape)}."
            )
        return z.to(device, dtype or torch.get_default_dtype())

    def contains(self, z: Float[Tensor, "*batch d"]) -> None:
        return None


NAMED: dict[str, Callable[..., Prior]] = {
    "uniform": Uniform,
    "normal": Normal,
    "ring": Ring,
    "circle": Circle,
    "bowl": Bowl,
    "ball": Ball,
    "sphere": Sphere,
    "mixture": Mixture.on_circle,
}
r"""The closed list of the names that files and flags may give."""


def prior_from_name(spec: str, dim: int, *, stratified: bool = False) -> Prior:
    r"""Creates a prior from a name of the closed list and its numbers.

    Arguments:
        spec: ``name`` or ``name:key=number,key=number``: ``uniform``, ``normal``,
            ``ring:radius=1,sigma=0.01``, ``circle``, ``bowl``, ``ball``, ``sphere``,
            ``mixture:components=10,radius=1,scale=0.1``.
        dim: The dimension :math:`d` of the codes.
        stratified: Whether a ring's angles are evenly spaced within a draw.

    Returns:
        The prior.

    Raises:
        ValueError: If a name or a number is unknown, or the prior has another dimension.

    Example:
        >>> prior_from_name("ring:sigma=0.05", dim=2)
        Ring(radius=1.0, sigma=0.05, stratified=False)
    """

    name, _, rest = spec.partition(":")
    if name not in NAMED:
        raise ValueError(unknown("prior", name, list(NAMED)))

    known = inspect.signature(NAMED[name]).parameters
    parsed = [parse_number(part, name, list(known)) for part in rest.split(",") if part]
    settings = dict(parsed)
    if len(settings) < len(parsed):
        raise ValueError(f"The prior {spec!r} gives a number twice.")
    given = {"dim": dim, "stratified": stratified}
    settings = {key: value for key, value in given.items() if key in known} | settings

    prior = NAMED[name](**settings)
    if prior.dim != dim:
        raise ValueError(
            f"The prior {name!r} lives in {prior.dim} dimensions, but latent_dim is {dim}."
        )
    return prior


def name_of(prior: Prior) -> str | None:
    r"""Returns the name and numbers that :func:`prior_from_name` makes a prior from.

    Arguments:
        prior: The prior.

    Returns:
        The name; :py:`None` for laws that no name makes.

    Example:
        >>> name_of(Ring(sigma=0.05))
        'ring:radius=1.0,sigma=0.05'
    """

    if isinstance(prior, Ring):
        return f"ring:radius={prior.radius},sigma={prior.sigma}"
    return next((name for name, kind in NAMED.items() if type(prior) is kind), None)


def parse_number(part: str, name: str, known: list[str]) -> tuple[str, float]:
    key, equals, value = part.partition("=")
    names = [k for k in known if k not in ("dim", "stratified")]
    if key not in names:
        raise ValueError(unknown(f"number of the prior {name!r}", key, names))
    try:
        number = float(value) if equals else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{key} of the prior {name!r} has to be a number, but is {value!r}.")

    return key, int(number) if key == "components" and number == int(number) else number


def unknown(what: str, got: str, known: list[str]) -> str:
    near = difflib.get_close_matches(got, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no {what} {got!r}; known are {', '.join(known) or 'none'}.{hint}"


def check_number(
    name: str, value: float, *, above: float = -math.inf, least: float = -math.inf
) -> float:
    number = isinstance(value, numbers.Real) and math.isfinite(value)
    if not (number and value > above and value >= least):
        bound = f"> {above}" if above > -math.inf else f">= {least}"
        raise ValueError(f"{name} has to be a finite number {bound}, but is {value!r}.")
    return float(value)

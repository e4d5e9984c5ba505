r"""What a law of the codes is, and the map from a cube that the built-in ones are."""

__all__ = ["CubePrior", "Prior"]

import abc
import functools

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..seeding import stream_seed


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

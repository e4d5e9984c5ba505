r"""What a law of the codes is, and the map from a cube that the built-in ones are."""

__all__ = ["CubePrior", "Prior"]

import abc
import functools
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..seeding import stream_seed

ALL = slice(None)
r"""Every row of a draw."""


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

    def sample_rows(
        self,
        n: int,
        rows: slice,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "m d"]:
        r"""Draws some of the codes that :meth:`sample` would draw, and leaves the others out.

        Of several processes with generators in the same state each can so make its own part of
        one draw. The generator is left as by the whole draw. Here that is drawn and cut; a law
        that can make less of it overrides this.

        Arguments:
            n: The number of codes of the whole draw.
            rows: Which of them, a slice with a step > 0.
            generator: The source of randomness; torch's global one if :py:`None`.
            quasi: Whether the codes of the whole draw are spread evenly.
            device: The device of the result.
            dtype: The dtype of the result.

        Returns:
            The codes ``sample(n, generator, quasi)[rows]``, with shape :math:`(m, d)`.

        Raises:
            ValueError: If the whole draw has another shape than :math:`(n, d)`.
        """

        z = self.sample(n, generator, quasi, device=device, dtype=dtype)
        if z.shape != (n, self.dim):
            raise ValueError(
                f"prior has to draw codes of shape {(n, self.dim)}, but {type(self).__name__} "
                f"drew shape {tuple(z.shape)}."
            )
        return z[rows]

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

    @final
    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        return self.from_cube(self.uniforms(n, generator, quasi, device, dtype))

    @final
    def sample_rows(
        self,
        n: int,
        rows: slice,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "m d"]:
        return self.from_cube(self.uniforms(n, generator, quasi, device, dtype, rows))

    def uniforms(
        self,
        n: int,
        generator: torch.Generator | None,
        quasi: bool,
        device: torch.device | None,
        dtype: torch.dtype | None,
        rows: slice = ALL,
    ) -> Float[Tensor, "m k"]:
        r"""Draws the points of the cube, independent or quasi-random, or some rows of them.

        Of independent points all are drawn, for that is how a generator gets to the last; of
        quasi-random ones nothing but the shift.
        """

        device = device or torch.get_default_device()
        dtype = dtype or torch.get_default_dtype()
        source = device if generator is None else generator.device
        drawn = 1 if quasi else n
        u = torch.rand(drawn, self.cube_dim, generator=generator, device=source, dtype=dtype)
        if quasi:
            points = sobol(*rows.indices(n), self.cube_dim, device, dtype)
            return (points + u.to(device)).remainder(1)
        u = u[rows].to(device)
        if self.stratified:
            u[:, 0] = torch.arange(n, device=device, dtype=dtype)[rows] / n
        return u


@functools.lru_cache(maxsize=16)
def sobol(
    start: int, stop: int, step: int, dim: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "m k"]:
    r"""Returns points of one scrambled Sobol sequence, the same at every call."""

    engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=stream_seed(0, "sobol"))
    if stop <= start:  # of which the engine knows nothing at its first point
        return torch.empty(0, dim, device=device, dtype=dtype)
    if start:
        engine.fast_forward(start)
    return engine.draw(stop - start, dtype=torch.float64)[::step].to(device, dtype)

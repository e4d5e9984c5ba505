r"""A user's own laws: an array of samples, a distribution of torch, a function."""

__all__ = ["FromDistribution", "FromFunction", "FromSamples"]

import inspect
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, Independent

from .law import ALL, Prior
from .maps import within
from .shapes import Uniform

HALVED = 4096
r"""The groups of samples near each other; a batch is hardly larger."""


@final
class FromSamples(Prior):
    r"""The law of an array of samples, drawn with replacement.

    Where a quasi-random draw is asked for, the samples are told off instead: n places are evenly
    spaced around a circle that the N samples divide, those near each other side by side, and
    turned by one uniform angle. Each sample is then as likely as before, none comes twice before
    every other has come once, and each region gets the share of the draw that it should.

    Arguments:
        samples: The samples, with shape :math:`(N, d)`. They are stored with a model's weights.

    Raises:
        TypeError: If the array does not hold real numbers.
        ValueError: If the array is not two-dimensional, is empty or has non-finite values.

    Example:
        >>> FromSamples([[0.0, 1.0]]).sample(2)
        tensor([[0., 1.],
                [0., 1.]])
    """

    samples: Tensor

    def __init__(self, samples: Tensor | np.ndarray | Sequence[Sequence[float]]) -> None:
        samples = real(samples, "samples").to(torch.get_default_dtype())
        if samples.ndim != 2 or samples.numel() == 0:
            raise ValueError(
                f"samples has to have shape (n, dim), but has {tuple(samples.shape)}."
            )
        if not torch.isfinite(samples).all():
            raise ValueError("samples has to be finite, but holds NaN or infinity.")
        super().__init__(samples.shape[1], cube_dim=None)

        self.register_buffer("samples", samples[side_by_side(samples.numpy(force=True))])

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        quasi: bool = False,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "n d"]:
        return self.sample_rows(n, ALL, generator, quasi, device=device, dtype=dtype)

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
        source = self.samples.device if generator is None else generator.device
        many = len(self.samples)
        if quasi:
            turn = torch.randint(n * many, (1,), generator=generator, device=source)
            chosen = (torch.arange(n, device=source)[rows] * many + turn) // n % many
        else:
            chosen = torch.randint(many, (n,), generator=generator, device=source)[rows]
        return self.samples[chosen.to(self.samples.device)].to(device, dtype)

    def contains(self, z: Float[Tensor, "*batch d"]) -> None:
        return None

    def extra_repr(self) -> str:
        return f"dim={self.dim}, samples={len(self.samples)}"


def real(x: Any, name: str) -> Tensor:  # noqa: ANN401 - to be judged
    r"""Makes a tensor of real numbers, without a warning where an array can't be written to.

    Raises:
        TypeError: If there is something else in it.
    """

    x = x if isinstance(x, Tensor) else np.asarray(x)
    known = not x.is_complex() if isinstance(x, Tensor) else x.dtype.kind in "fiub"
    if not known:
        raise TypeError(f"{name} has to hold real numbers, but holds {x.dtype}.")
    if isinstance(x, np.ndarray) and not x.flags.writeable:
        x = x.copy()
    return torch.as_tensor(x)


def side_by_side(x: NDArray[np.floating]) -> NDArray[np.int64]:
    r"""Orders points so that near ones are near, by halving them across their widest side.

    Arguments:
        x: The points, with shape :math:`(N, d)`.

    Returns:
        Their numbers in that order, with shape :math:`(N)`.
    """

    def halved(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        if len(rows) <= few:
            return [rows]
        widest = np.ptp(x[rows], axis=0).argmax()
        rows = rows[x[rows, widest].argsort(kind="stable")]
        return halved(rows[: len(rows) // 2]) + halved(rows[len(rows) // 2 :])

    few = max(1, len(x) // HALVED)
    return np.concatenate(halved(np.arange(len(x))))


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
        return self.sample_rows(n, ALL, generator, quasi, device=device, dtype=dtype)

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
        if quasi and self.marginals is not None:
            u = Uniform(self.dim).uniforms(n, generator, quasi, None, dtype, rows)
            eps = torch.finfo(u.dtype).eps
            return self.marginals.icdf(u.clamp(eps, 1 - eps)).to(device, dtype)
        if generator is None:
            return self.distribution.sample((n,))[rows].to(device, dtype)
        with torch.random.fork_rng():
            seed = torch.randint(2**62, (), generator=generator, device=generator.device)
            torch.manual_seed(int(seed))
            return self.distribution.sample((n,))[rows].to(device, dtype)

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
        check_call(function)
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
        z = self.function(n, generator)
        if not (isinstance(z, list | tuple) or hasattr(z, "__array__")):
            raise TypeError(
                f"prior has to be a function that returns codes of shape {(n, self.dim)}, but it "
                f"returned a {type(z).__name__}."
            )
        z = real(z, "prior")
        if z.shape != (n, self.dim):
            raise ValueError(
                f"prior has to be a function that returns codes of shape {(n, self.dim)}, but it "
                f"returned shape {tuple(z.shape)}."
            )
        # Elsewhere the question would wait for the device at every step.
        if z.device.type == "cpu" and not torch.isfinite(z).all():
            raise ValueError(
                "prior has to be a function that returns finite codes, but it returned NaN or "
                "infinity."
            )
        return z.to(device, dtype or torch.get_default_dtype())

    def contains(self, z: Float[Tensor, "*batch d"]) -> None:
        return None


def check_call(function: Callable[..., object]) -> None:
    r"""Refuses a function that can't be called as ``function(n, generator)``."""

    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are compiled do not say what they take
        return
    try:
        signature.bind(1, None)
    except TypeError:
        raise TypeError(
            "prior has to be a function that can be called as f(n, generator), but takes "
            f"{signature}."
        ) from None

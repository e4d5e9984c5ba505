r"""Directions on the unit sphere.

The sliced-Wasserstein distance is a mean over directions :math:`\theta \in S^{d-1}` (Eq. 11),
estimated with :math:`L` of them. They are the columns of a matrix of shape :math:`(d, L)`, so
that ``x @ projections`` has a column for each slice.

Independent directions (:func:`iid`) are unbiased and noisy. Directions that keep apart from each
other are unbiased too and less noisy: :func:`orthogonal` blocks in any dimension, and
:func:`equispaced` angles in the plane, where only half of the circle counts since
:math:`\theta` and :math:`-\theta` cost the same.

In high dimension a random direction sees a sum of many coordinates, which looks Gaussian
whatever the coordinates do: codes that fill only a few dimensions of the cube score like the
cube. :func:`principal` looks where the difference is, along the axes and along the codes' own
principal directions. The mean over its slices is a distance with other weights on the sphere; it
vanishes for the same pairs of laws, for a part of the directions remains random.
"""

__all__ = ["Slices", "draw", "equispaced", "iid", "orthogonal", "principal"]

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

Slices = Literal["auto", "iid", "orthogonal", "equispaced", "principal"]
r"""The ways to choose directions."""

PRINCIPAL_FROM = 16
r"""The dimension from which ``auto`` adds axes and principal directions."""


def iid(
    dim: int,
    n_projections: int,
    generator: torch.Generator | None = None,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "d k"]:
    r"""Draws independent directions, uniform on the sphere.

    Arguments:
        dim: The dimension :math:`d`.
        n_projections: The number of directions :math:`L`.
        generator: The source of randomness; torch's global one if :py:`None`.
        device: The device of the result.
        dtype: The dtype of the result.

    Returns:
        The unit columns :math:`\theta_l`, with shape :math:`(d, L)`.

    Raises:
        ValueError: If a size is less than 1.

    Example:
        >>> iid(3, 50).norm(dim=0).allclose(torch.ones(50))
        True
    """

    check_sizes(dim, n_projections)
    directions = gaussian((dim, n_projections), generator, device, dtype)

    return directions / directions.norm(dim=0, keepdim=True)


def orthogonal(
    dim: int,
    n_projections: int,
    generator: torch.Generator | None = None,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "d k"]:
    r"""Draws directions in blocks of d that are orthogonal to each other.

    Each block is a Haar-distributed basis; the last one is cut where d does not divide L.

    Arguments:
        dim: The dimension :math:`d`.
        n_projections: The number of directions :math:`L`.
        generator: The source of randomness; torch's global one if :py:`None`.
        device: The device of the result.
        dtype: The dtype of the result.

    Returns:
        The unit columns :math:`\theta_l`, with shape :math:`(d, L)`.

    Raises:
        ValueError: If a size is less than 1.

    References:
        | Orthogonal Estimation of Wasserstein Distances (Rowland et al., 2019)
        | https://arxiv.org/abs/1903.03784

    Example:
        >>> basis = orthogonal(3, 3, dtype=torch.float64)
        >>> (basis.T @ basis).allclose(torch.eye(3, dtype=torch.float64))
        True
    """

    check_sizes(dim, n_projections)
    blocks = math.ceil(n_projections / dim)
    q, r = torch.linalg.qr(gaussian((blocks, dim, dim), generator, device, dtype))

    # Only with the signs of R's diagonal is Q Haar-distributed (Mezzadri, 2007).
    q = q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)

    return q.movedim(0, 1).reshape(dim, blocks * dim)[:, :n_projections]


def equispaced(
    n_projections: int,
    generator: torch.Generator | None = None,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "2 k"]:
    r"""Draws directions of the plane at equal angles, all turned by one random angle.

    .. math:: \theta_l = \frac{\pi (l + u)}{L} , \qquad u \sim \mathcal{U}[0, 1[ , \; 0 \leq l < L

    Arguments:
        n_projections: The number of directions :math:`L`.
        generator: The source of randomness; torch's global one if :py:`None`.
        device: The device of the result.
        dtype: The dtype of the result.

    Returns:
        The unit columns, with shape :math:`(2, L)`.

    Raises:
        ValueError: If ``n_projections`` is less than 1.

    Example:
        >>> equispaced(4).shape
        torch.Size([2, 4])
    """

    check_sizes(2, n_projections)
    source = device if generator is None else generator.device
    u = torch.rand(1, generator=generator, device=source, dtype=dtype).to(device)
    angle = math.pi / n_projections * (torch.arange(n_projections, device=u.device) + u)

    return torch.stack((angle.cos(), angle.sin()))


def principal(
    covariance: Float[Tensor, "d d"],
    n_projections: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "d k"]:
    r"""Mixes coordinate axes, principal directions and orthogonal random directions.

    A third of the slices are axes and a third are eigenvectors of the covariance, drawn without
    replacement (all of them once L >= 3d); the rest is :func:`orthogonal`.

    Arguments:
        covariance: The covariance of the codes, with shape :math:`(d, d)`.
        n_projections: The number of directions :math:`L`.
        generator: The source of randomness; torch's global one if :py:`None`.

    Returns:
        The unit columns, with shape :math:`(d, L)`, like the covariance in device and dtype.

    Raises:
        ValueError: If ``n_projections`` is less than 1.

    Example:
        >>> principal(torch.eye(16), 48).shape
        torch.Size([16, 48])
    """

    dim = covariance.shape[0]
    check_sizes(dim, n_projections)
    device, dtype = covariance.device, covariance.dtype

    chosen = min(n_projections // 3, dim)
    axes = torch.eye(dim, device=device, dtype=dtype)
    eigenvectors = torch.linalg.eigh(covariance).eigenvectors

    return torch.cat(
        (
            axes[:, subset(dim, chosen, generator, device)],
            eigenvectors[:, subset(dim, chosen, generator, device)],
            orthogonal(dim, n_projections - 2 * chosen, generator, device=device, dtype=dtype),
        ),
        dim=1,
    )


def draw(
    slices: Slices,
    dim: int,
    n_projections: int,
    generator: torch.Generator | None = None,
    *,
    covariance: Float[Tensor, "d d"] | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "d k"]:
    r"""Draws directions by the name of the way to choose them.

    ``auto`` is the one direction there is for d = 1, :func:`equispaced` for d = 2,
    :func:`principal` for d >= 16 and :func:`orthogonal` between.

    Arguments:
        slices: The name.
        dim: The dimension :math:`d`.
        n_projections: The number of directions :math:`L`.
        generator: The source of randomness; torch's global one if :py:`None`.
        covariance: The covariance of the codes, which ``principal`` needs.
        device: The device of the result.
        dtype: The dtype of the result.

    Returns:
        The unit columns, with shape :math:`(d, L)`; :math:`(1, 1)` for ``auto`` and d = 1.

    Raises:
        ValueError: If the name is unknown or does not fit the dimension.

    Example:
        >>> draw("auto", 1, 50)
        tensor([[1.]])
    """

    match resolve(slices, dim):
        case "equispaced":
            return equispaced(n_projections, generator, device=device, dtype=dtype)
        case "orthogonal":
            return orthogonal(dim, n_projections, generator, device=device, dtype=dtype)
        case "principal":
            if covariance is None:
                raise ValueError("The slices 'principal' need the covariance of the codes.")
            covariance = covariance.to(device, dtype)
            return principal(covariance, n_projections, generator)
        case "only":
            return torch.ones(1, 1, device=device, dtype=dtype)
        case _:
            return iid(dim, n_projections, generator, device=device, dtype=dtype)


def resolve(slices: Slices, dim: int) -> str:
    r"""Returns what ``auto`` stands for in a dimension, and other names as they are."""

    if slices not in get_args(Slices):
        raise ValueError(f"slices has to be one of {get_args(Slices)}, but is {slices!r}.")
    if slices == "equispaced" and dim != 2:
        raise ValueError(f"The slices 'equispaced' exist for d = 2 alone, but d is {dim}.")
    if slices != "auto":
        return slices
    if dim == 1:
        return "only"
    if dim == 2:
        return "equispaced"
    return "principal" if dim >= PRINCIPAL_FROM else "orthogonal"


def gaussian(
    shape: tuple[int, ...],
    generator: torch.Generator | None,
    device: torch.device | None,
    dtype: torch.dtype | None,
) -> Tensor:
    r"""Draws where the generator lives and moves the result, so that a CPU stream serves all."""

    source = device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=source, dtype=dtype).to(device)


def subset(
    n: int, k: int, generator: torch.Generator | None, device: torch.device
) -> Int[Tensor, " k"]:
    r"""Draws k of the indices below n without replacement."""

    source = device if generator is None else generator.device
    return torch.randperm(n, generator=generator, device=source)[:k].to(device)


def check_sizes(dim: int, n_projections: int) -> None:
    for name, size in (("dim", dim), ("n_projections", n_projections)):
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} has to be a whole number >= 1, but is {size!r}.")

r"""The sliced-Wasserstein distance, and the penalty made of it.

Slices turn :math:`d` dimensions into one. With directions :math:`\theta` uniform on the sphere,

.. math:: SW_p^p(\mu, \nu) = \int_{S^{d-1}} W_p^p \big( \theta^\top \mu, \theta^\top \nu \big) \,
    d\theta \approx \frac{1}{L} \sum_{l=1}^L W_p^p \big( \theta_l^\top x, \theta_l^\top y \big)

(Eq. 11 and 15), each term a sort (:mod:`swae.univariate`). The penalty of the autoencoder is
:math:`SW_p^p` between a batch of codes and samples of the prior, a mean over slices and samples
(Eq. 16; Algorithm 1 drops the factors :math:`1/L` and :math:`1/M`). So its weight
:math:`\lambda` means the same at every number of slices and every batch size.

What is noisy in it is not the slices first but the samples of the prior: with both chosen
evenly, :math:`\theta` by :mod:`swae.projections` and the samples from a shifted Sobol set
(:mod:`swae.priors`), the gradient's variance drops a hundredfold for :math:`d = 2`.
"""

__all__ = ["SlicedWassersteinLoss", "sliced_wasserstein"]

import copy
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .chunked import chunked_mean
from .distributed import Group, Ranks, check_group, meet_drawing, together
from .priors import Prior
from .projections import Slices, draw, resolve
from .univariate import (
    Cost,
    at_least_single,
    check_convex,
    check_dtypes,
    cost_function,
    is_transformed,
    wasserstein_1d,
)

CHUNK = 2**22
r"""The most projected values (samples times directions) that are held at once.

The 64-bit indices of either side then take less than 32 MiB, above which glibc gets memory from
the system anew each time, page by page.
"""


def sliced_wasserstein(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    projections: Float[Tensor, "d k"],
    p: Cost = 2.0,
    x_weights: Float[Tensor, " n"] | None = None,
    y_weights: Float[Tensor, " m"] | None = None,
) -> Float[Tensor, ""]:
    r"""Computes :math:`SW_p^p` between two samples, to the power p and not rooted.

    .. math:: \frac{1}{L} \sum_{l=1}^L W_p^p(\theta_l^\top x, \theta_l^\top y)

    Gradients flow to both samples and the projections, never to the weights. More directions than
    fit a fixed budget of memory are taken in chunks, whose gradient is taken on the way forward
    (for a cost that is a function, their values are computed again in the backward pass); under
    :func:`torch.compile` and :mod:`torch.func` all are taken at once.

    Arguments:
        x: The first samples, with shape :math:`(N, d)`.
        y: The second samples, with shape :math:`(M, d)`.
        projections: The unit directions :math:`\theta_l` as columns, with shape :math:`(d, L)`.
        p: The exponent :math:`p \geq 1`, or a convex cost of the difference.
        x_weights: The relative weights of the first samples, with shape :math:`(N)`. They are
            divided by their sum.
        y_weights: The relative weights of the second samples, with shape :math:`(M)`.

    Returns:
        The distance to the power p, a scalar, in the samples' dtype (float32 for half precision).

    Raises:
        TypeError: If a sample or the directions are no floating-point tensor.
        ValueError: If the shapes do not fit, a sample is empty, :math:`p < 1`, or weights are
            negative, not finite or all zero.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), Eq. 15
        | https://arxiv.org/abs/1804.01947

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> sliced_wasserstein(x, x + torch.tensor([0.0, 3.0]), projections=torch.eye(2))
        tensor(4.5000)
    """

    check_shapes(x, y, projections)

    x, y = at_least_single(x), at_least_single(y)
    check_dtypes(x, y)

    # W_p of slices, a mean over samples; the slices are rows, for sorts along memory.
    def slices(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        # Autocast would project in bfloat16, whose three digits are less than the distance needs.
        with torch.autocast(x.device.type, enabled=False):
            return wasserstein_1d(theta @ x.mT, theta @ y.mT, p, x_weights, y_weights)

    theta = projections.to(x.dtype).mT
    rows = max(1, CHUNK // (len(x) + len(y)))
    if len(theta) <= rows or torch.compiler.is_compiling() or is_transformed():
        return slices(theta, x, y).mean()
    tracked = [torch.is_grad_enabled() and v.requires_grad for v in (theta, x, y)]
    if callable(p) or not any(tracked):
        return torch.cat(
            [checkpoint(slices, part, x, y, use_reentrant=False) for part in theta.split(rows)]
        ).mean()
    return chunked_mean(slices, rows, tracked, theta, x, y)


def mean_of_slices(
    x: Float[Tensor, "k n"], y: Float[Tensor, "k m"], p: Cost, slices: int
) -> Float[Tensor, ""]:
    r"""Computes the part that some slices have in a mean over many.

    Arguments:
        x: The first samples along :math:`k` directions, of which there may be none, as rows.
        y: The second ones.
        p: The exponent, or a cost.
        slices: The number :math:`L \geq k` that the mean is over.

    Returns:
        The sum :math:`\sum_{l \leq k} W_p^p(x_l, y_l) / L`, a scalar that depends on x and y where
        :math:`k = 0` too, so that the backward pass goes through both.
    """

    if len(x) == 0:
        return x.sum() + y.sum()
    rows = max(1, CHUNK // (x.shape[1] + y.shape[1]))
    parts = zip(x.split(rows), y.split(rows), strict=True)
    return torch.cat([wasserstein_1d(a, b, p) for a, b in parts]).sum() / slices


def check_shapes(x: Tensor, y: Tensor, projections: Tensor) -> None:
    for name, value in (("x", x), ("y", y), ("projections", projections)):
        check_tensor(name, value)
    for name, value, wanted in (("x", x, "(n, d)"), ("y", y, "(m, d)")):
        if value.ndim != 2 or len(value) == 0:
            raise ValueError(
                f"{name} has to have shape {wanted} and hold at least one sample, "
                f"but has shape {tuple(value.shape)}."
            )
    if projections.ndim != 2 or projections.shape[1] == 0:
        raise ValueError(
            "projections has to have shape (d, k), its columns being directions, "
            f"but has {tuple(projections.shape)}."
        )
    if not x.shape[1] == y.shape[1] == projections.shape[0]:
        raise ValueError(
            "x, y and projections have to share the dimension d, but have shapes "
            f"{tuple(x.shape)}, {tuple(y.shape)} and {tuple(projections.shape)}."
        )


def check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} has to be a floating-point torch tensor, but is {kind}.")


@final
class SlicedWassersteinLoss(nn.Module):
    r"""Pulls codes to a prior: the penalty of Eq. 16, to drop into any model.

    Called with codes alone, it draws fresh directions and fresh samples of the prior each time.
    By default both are spread evenly, so that the gradient is far less noisy than with
    independent ones at the same cost.

    Where several ranks of :mod:`torch.distributed` train a model, each calls it with its own codes
    and is returned the value of all of them, with the gradient that an average over ranks makes
    one process's (:mod:`swae.distributed`).

    Arguments:
        prior: The law :math:`q_Z` that the codes are pulled to.
        n_projections: The number of directions :math:`L`.
        p: The exponent :math:`p \geq 1`, or a convex cost of the difference.
        slices: How directions are chosen: ``iid``, ``orthogonal``, ``equispaced`` (d = 2),
            ``principal``, or ``auto``: the best for the dimension, see
            :func:`swae.projections.draw`.
        quasi: Whether the samples of the prior are quasi-random, where it has a map from the
            cube.
        oversampling: The number of samples of the prior for each code. Each code is then matched
            with the mean of so many quantiles, which lowers the noise further.
        group: The ranks whose codes are matched together, where several train: all if
            :py:`None`, a process group, or ``self``: each rank's by themselves.

    Raises:
        ValueError: If a setting can't work.
        TypeError: If ``prior`` is no prior, or ``group`` no process group.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), Eq. 16
        | https://arxiv.org/abs/1804.01947

    Example:
        >>> from swae import Uniform
        >>> penalty = SlicedWassersteinLoss(Uniform(2))
        >>> z = torch.rand(500, 2, requires_grad=True)
        >>> loss = 10 * penalty(z)
        >>> loss.backward()
    """

    covariance: Tensor

    def __init__(
        self,
        prior: Prior,
        n_projections: int = 50,
        p: Cost = 2.0,
        slices: Slices = "auto",
        quasi: bool = True,
        oversampling: int = 1,
        group: Group = None,
    ) -> None:
        super().__init__()

        if not isinstance(prior, Prior):
            raise TypeError(f"prior has to be a Prior, but is a {type(prior).__name__}.")
        for name, size in (("n_projections", n_projections), ("oversampling", oversampling)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} has to be a whole number >= 1, but is {size!r}.")
        cost_function(p)
        if callable(p):
            check_convex(p)
        check_group(group)

        self.prior = prior
        self.n_projections = n_projections
        self.p = p
        self.slices: Slices = slices
        self.quasi = quasi
        self.oversampling = oversampling
        self.group: Group = group

        self.follows_codes = resolve(slices, prior.dim) == "principal"
        if self.follows_codes:
            self.register_buffer("covariance", torch.eye(prior.dim))

    def forward(
        self, z: Float[Tensor, "n d"], generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        r"""
        Arguments:
            z: The codes, with shape :math:`(N, d)`. Of several ranks each has its own, of which
                there may be none as long as another has some.
            generator: The source of randomness, in the same state on all ranks. If :py:`None`,
                torch's global one, or of several ranks a seed from rank 0's.

        Returns:
            :math:`SW_p^p` to the prior, a scalar, not rooted and not weighted by
            :math:`\lambda`, the same on all ranks.

        Raises:
            TypeError: If the codes are no floating-point tensor.
            ValueError: If the codes' shape is not :math:`(N, d)`, or ranks have generators in
                different states.
        """

        check_tensor("z", z)
        ranks, generator = self.meet(z, generator, training=self.training)
        with torch.autocast(z.device.type, enabled=False):
            z = at_least_single(z)
            if self.follows_codes and self.training:
                self.follow(z, ranks)
            return self.distance(z, generator, ranks)

    def meet(
        self, z: Tensor, generator: torch.Generator | None, *, training: bool
    ) -> tuple[Ranks, torch.Generator | None]:
        r"""Finds the ranks that have codes, and what all of them draw from."""

        if z.ndim == 2 and z.shape[1] == self.prior.dim:
            together_ = together(training, z)
            ranks, generator = meet_drawing(self.group, z, generator, together=together_)
            if ranks.rows > 0:
                return ranks, generator
        raise ValueError(
            f"z has to have shape (n, {self.prior.dim}) for this prior, with n >= 1, "
            f"but has {tuple(z.shape)}."
        )

    @torch.no_grad()
    def null(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        r"""Draws what the penalty is for perfect codes: independent samples of the prior.

        Arguments:
            z: The codes whose number, device and dtype count, with shape :math:`(N, d)`.
            labels: Not used: the prior has no classes.
            generator: The source of randomness, as for :meth:`forward`.

        Returns:
            One draw of the null value, a scalar without a gradient. Directions that follow the
            codes are drawn as for the codes, and are not moved.
        """

        ranks, generator = self.meet(z, generator, training=self.training)
        with torch.autocast(z.device.type, enabled=False):
            dtype = at_least_single(z).dtype
            perfect = independent(self.prior).sample_rows(
                ranks.rows, ranks.part(), generator, device=z.device, dtype=dtype
            )
            return self.distance(perfect, generator, ranks)

    def distance(
        self, z: Float[Tensor, "n d"], generator: torch.Generator | None, ranks: Ranks
    ) -> Float[Tensor, ""]:
        r"""Computes the distance of all ranks' codes to fresh samples along fresh directions."""

        theta, times = self.directions(z, generator), self.oversampling
        samples = self.prior.sample_rows(
            times * ranks.rows,
            ranks.part(times),
            generator,
            self.quasi,
            device=z.device,
            dtype=z.dtype,
        )
        if ranks.group is None:
            return sliced_wasserstein(z, samples, theta, self.p)
        x = ranks.exchange(theta.mT @ z.mT)
        y = ranks.exchange(theta.mT @ samples.mT, times)
        return ranks.total(mean_of_slices(x, y, self.p, theta.shape[1]))

    @torch.no_grad()
    def directions(
        self, z: Float[Tensor, "n d"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "d k"]:
        r"""Draws the directions for a batch, ``principal`` ones by the running covariance."""

        return draw(
            self.slices,
            self.prior.dim,
            self.n_projections,
            generator,
            covariance=self.covariance if self.follows_codes else None,
            device=z.device,
            dtype=z.dtype,
        )

    @torch.no_grad()
    def follow(self, z: Float[Tensor, "n d"], ranks: Ranks, momentum: float = 0.1) -> None:
        r"""Moves the running covariance a step towards that of all codes, if that is finite."""

        z = (z - ranks.mean(z)).to(self.covariance.dtype)
        moved = self.covariance.lerp(ranks.total(z.mT @ z) / ranks.rows, momentum)
        self.covariance.copy_(torch.where(moved.isfinite().all(), moved, self.covariance))

    def extra_repr(self) -> str:
        return (
            f"n_projections={self.n_projections}, p={self.p}, slices={self.slices!r}, "
            f"quasi={self.quasi}, oversampling={self.oversampling}"
        )


def independent(prior: Prior) -> Prior:
    r"""Returns a prior whose samples are independent, where its own are spread by strata."""

    if not getattr(prior, "stratified", False):
        return prior
    alike = copy.copy(prior)
    alike.__dict__["stratified"] = False
    return alike

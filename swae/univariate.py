r"""Wasserstein distances on the line.

In one dimension the optimal plan between two laws :math:`\mu` and :math:`\nu` is monotone: it
pairs equal quantiles. For any convex cost :math:`c` of the difference (Eq. 9)

.. math:: W_c(\mu, \nu) = \int_0^1 c \big( F_\mu^{-1}(\tau) - F_\nu^{-1}(\tau) \big) \, d\tau ,

and :math:`W_p^p` is the case :math:`c(t) = |t|^p`, :math:`p \geq 1`. Between two samples the
quantile functions are steps. With :math:`M` points on either side the integral is a sort and a
mean (Eq. 14)

.. math:: W_c = \frac{1}{M} \sum_{m=1}^M c \big( x_{(m)} - y_{(m)} \big) ,

and with :math:`N \neq M` points, or with weights :math:`a_n` and :math:`b_m`, a sum over the
intervals that the jumps of both cumulated weights cut out of :math:`[0, 1]`,

.. math:: W_c = \sum_k w_k \, c \big( x_{(i_k)} - y_{(j_k)} \big) , \qquad \sum_k w_k = 1 ,

of which there are at most :math:`N + M - 1`. The sum is exact; nothing is interpolated.
"""

__all__ = ["Cost", "wasserstein_1d"]

import functools
import numbers
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import forward_ad

from .kernels import cpu

Cost = float | Callable[[Tensor], Tensor]
r"""The exponent :math:`p \geq 1` of :math:`|t|^p`, or a convex function of the difference."""


class Coupling(NamedTuple):
    r"""The monotone plan: interval k carries the mass w from x_(i) to y_(j), sorted ranks."""

    i: Int[Tensor, "*batch k"]
    j: Int[Tensor, "*batch k"]
    w: Float[Tensor, "*batch k"]


def wasserstein_1d(
    x: Float[Tensor, "*batch n"],
    y: Float[Tensor, "*batch m"],
    p: Cost = 2.0,
    x_weights: Float[Tensor, "*#batch n"] | None = None,
    y_weights: Float[Tensor, "*#batch m"] | None = None,
) -> Float[Tensor, "*batch"]:
    r"""Computes :math:`W_p^p` between two samples on the line, to the power p and not rooted.

    .. math:: W_p^p = \int_0^1 \big| F_x^{-1}(\tau) - F_y^{-1}(\tau) \big|^p \, d\tau

    Gradients flow to both samples and never to the weights.

    Arguments:
        x: The first samples :math:`x_n`, with shape :math:`(*, N)`.
        y: The second samples :math:`y_m`, with shape :math:`(*, M)`.
        p: The exponent :math:`p \geq 1`, or a convex cost :math:`c(x - y)` given as an
            elementwise function.
        x_weights: The relative weights :math:`a_n \geq 0`, with a shape that broadcasts to
            :math:`(*, N)`. They are divided by their sum. If :py:`None`, all are equal.
        y_weights: The relative weights :math:`b_m \geq 0`, likewise.

    Returns:
        The distances to the power p, with shape :math:`(*)`, in the samples' dtype (float32 for
        half precision).

    Raises:
        ValueError: If a sample is empty, :math:`p < 1`, the shapes do not fit, or weights are
            negative, not finite or all zero.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), Eq. 9 and 14
        | https://arxiv.org/abs/1804.01947

    Example:
        >>> wasserstein_1d(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 2.0]))
        tensor(4.)
        >>> wasserstein_1d(torch.tensor([0.0, 1.0]), torch.tensor([0.5]), p=1)
        tensor(0.5000)
    """

    cost = cost_function(p)
    x, y = at_least_single(x), at_least_single(y)
    check_samples(x, y)
    weights = [w for w in (x_weights, y_weights) if w is not None and w.ndim > 0]
    check_batches(*(tuple(part.shape[:-1]) for part in (x, y, *weights)))

    if x_weights is None and y_weights is None:
        return unweighted(x, y, cost)
    return weighted(x, y, x_weights, y_weights, cost)


def unweighted(x: Tensor, y: Tensor, cost: Callable[[Tensor], Tensor]) -> Tensor:
    r"""Pairs the sorted samples, each point of a side having the same mass.

    Where one side alone wants a gradient, each of its points is brought what it is paired with:
    nothing has to be carried back to where it came from.
    """

    n, m = x.shape[-1], y.shape[-1]
    if can_match(x, y):
        return cost(x.unsqueeze(-2) - match(x, y)).mean(dim=(-2, -1))
    if can_match(y, x):
        return cost(match(y, x) - y.unsqueeze(-2)).mean(dim=(-2, -1))

    x, y = sort(x), sort(y)
    if n == m:
        return cost(x - y).mean(dim=-1)

    i, j, w = uniform_coupling(n, m, x.device)
    return (w.to(x.dtype) * cost(x[..., i] - y[..., j])).sum(dim=-1)


def weighted(
    x: Tensor,
    y: Tensor,
    x_weights: Tensor | None,
    y_weights: Tensor | None,
    cost: Callable[[Tensor], Tensor],
) -> Tensor:
    r"""Pairs the sorted samples, each point having a mass of its own."""

    batch = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    x, a = sort_with_mass(x.expand(*batch, -1), x_weights, "x_weights")
    y, b = sort_with_mass(y.expand(*batch, -1), y_weights, "y_weights")

    i, j, w = quantile_coupling(a, b)
    return (w.to(x.dtype) * cost(x.gather(-1, i) - y.gather(-1, j))).sum(dim=-1)


def sort_with_mass(x: Tensor, weights: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    r"""Sorts a sample and cumulates its weights in that order, in float64 and ending at 1."""

    order = argsort(x)
    x = x.gather(-1, order)
    weights = torch.ones_like(x) if weights is None else weights.detach()
    check_weights(weights, x, name)

    mass = weights.to(torch.float64).expand_as(x).gather(-1, order).cumsum(dim=-1)
    return x, mass / mass[..., -1:]


def sort(x: Tensor) -> Tensor:
    r"""Sorts along the last dimension, differentiably."""

    if is_tracked(x):
        return x.gather(-1, argsort(x))
    return cpu.sort(x) if is_fast(x) else x.sort(dim=-1).values


def argsort(x: Tensor) -> Tensor:
    r"""Finds the order along the last dimension."""

    return cpu.argsort(x) if is_fast(x) else x.detach().argsort(dim=-1)


def can_match(x: Tensor, y: Tensor) -> bool:
    r"""Tells whether x alone wants a gradient, and has as many partners each."""

    whole = x.shape[:-1] == y.shape[:-1] and y.shape[-1] % x.shape[-1] == 0
    return whole and is_tracked(x) and not is_tracked(y)


def match(x: Tensor, y: Tensor) -> Tensor:
    r"""Brings each of n samples x the k of k n samples y that it is paired with, as constants.

    .. math:: t_{j, \sigma(m)} = y_{(k m + j)} , \qquad x_{\sigma(m)} = x_{(m)} , \; 0 \leq j < k
    """

    quantiles = sort(y.detach()).unflatten(-1, (x.shape[-1], -1)).mT
    order = argsort(x).unsqueeze(-2).expand_as(quantiles)
    return y.new_empty(()).expand_as(quantiles).scatter(-1, order, quantiles)


def is_fast(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32


def is_tracked(x: Tensor) -> bool:
    r"""Tells whether a derivative may be asked for."""

    return is_transformed() or (x.requires_grad and torch.is_grad_enabled())


def is_transformed() -> bool:
    r"""Tells whether :mod:`torch.func` or forward mode is at work, where no tensor says so."""

    if torch.compiler.is_compiling():
        return False
    return forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept from an evaluation has to serve a training
def uniform_coupling(n: int, m: int, device: torch.device) -> Coupling:
    r"""Couples n equal masses with m equal masses.

    The jumps :math:`i/n` and :math:`j/m` are compared in integers, in units of
    :math:`1 / \mathrm{lcm}(n, m)`, so that a jump of both sides is one jump.
    """

    unit = torch.lcm(torch.tensor(n), torch.tensor(m)).item()
    jumps_x = torch.arange(1, n + 1, device=device) * (unit // n)
    jumps_y = torch.arange(1, m + 1, device=device) * (unit // m)

    ends = torch.cat((jumps_x, jumps_y)).unique()
    starts = torch.cat((ends.new_zeros(1), ends[:-1]))

    return Coupling(
        i=starts // (unit // n),
        j=starts // (unit // m),
        w=(ends - starts).to(torch.float64) / unit,
    )


def quantile_coupling(a: Tensor, b: Tensor) -> Coupling:
    r"""Couples two laws given by their cumulated masses, with shapes (*, n) and (*, m)."""

    ends = torch.cat((a, b), dim=-1).sort(dim=-1).values
    starts = torch.cat((torch.zeros_like(ends[..., :1]), ends[..., :-1]), dim=-1)

    # The quantile of tau in (start, end] is the first point whose cumulated mass reaches end.
    # Points without mass close empty intervals only: w = 0 there.
    i = torch.searchsorted(a.contiguous(), ends).clamp_max(a.shape[-1] - 1)
    j = torch.searchsorted(b.contiguous(), ends).clamp_max(b.shape[-1] - 1)

    return Coupling(i, j, ends - starts)


def cost_function(p: Cost) -> Callable[[Tensor], Tensor]:
    r"""Returns :math:`t \mapsto |t|^p`, without the power where a product will do."""

    if callable(p):
        return p
    if not isinstance(p, numbers.Real) or not 1 <= p < float("inf"):
        raise ValueError(f"p has to be a finite number >= 1 or a convex function, but is {p!r}.")
    if p == 1:
        return torch.abs
    if p == 2:
        return torch.square
    return lambda t: t.abs().pow(p)


def check_convex(cost: Callable[[Tensor], Tensor]) -> None:
    r"""Refuses a cost of which the sorted samples are no optimal plan.

    .. math:: c \Big( \frac{s + t}{2} \Big) \leq \frac{c(s) + c(t)}{2}

    for some s, t in [-2, 2], up to rounding; a cost may still not be convex elsewhere.

    Arguments:
        cost: The cost, an elementwise function.

    Raises:
        TypeError: If it does not return a tensor.
        ValueError: If it changes the shape or is not convex.
    """

    t = torch.linspace(-2, 2, 33)
    try:
        with torch.no_grad():
            c = cost(t)
    except RuntimeError:  # what lives on another device is judged where it is used
        return
    if not isinstance(c, Tensor):
        raise TypeError(f"p has to return a tensor, but returned a {type(c).__name__}.")
    if c.shape != t.shape:
        raise ValueError(
            f"p has to be an elementwise function, but made {tuple(c.shape)} of {tuple(t.shape)}."
        )
    i = torch.arange(0, len(t), 2)
    chord = (c[i, None] + c[i]) / 2
    middle = c[(i[:, None] + i) // 2]
    if (middle - chord > 1e-4 * c.abs().max()).any():
        raise ValueError("p has to be a convex function of the difference, but is not convex.")


def at_least_single(x: Tensor) -> Tensor:
    r"""Casts half precision, whose sums of many small terms are worthless, to float32."""

    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_samples(x: Tensor, y: Tensor) -> None:
    for name, sample in (("x", x), ("y", y)):
        if sample.ndim == 0 or sample.shape[-1] == 0:
            raise ValueError(
                f"{name} has to hold at least one sample along its last dimension, "
                f"but has shape {tuple(sample.shape)}."
            )
    check_dtypes(x, y)


def check_dtypes(x: Tensor, y: Tensor) -> None:
    for name, sample in (("x", x), ("y", y)):
        if not sample.is_floating_point():
            raise ValueError(f"{name} has to be floating-point, but is {sample.dtype}.")
    if x.dtype != y.dtype:
        raise ValueError(f"x and y have to share a dtype, but are {x.dtype} and {y.dtype}.")


def check_batches(*batches: tuple[int, ...]) -> None:
    try:
        torch.broadcast_shapes(*batches)
    except RuntimeError:
        raise ValueError(
            "x, y and their weights have to share the dimensions before the last, but these are "
            f"{' and '.join(map(str, batches))}."
        ) from None


def check_weights(weights: Tensor, x: Tensor, name: str) -> None:
    if weights.ndim == 0 or weights.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"{name} has to hold a weight for each of the {x.shape[-1]} samples, "
            f"but has shape {tuple(weights.shape)}."
        )
    if not (torch.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"{name} has to be finite and >= 0 everywhere.")
    if not (weights.sum(dim=-1) > 0).all():
        raise ValueError(f"{name} has to have a positive sum.")

r"""A mean over slices in chunks, whose gradient is taken on the way forward.

With slices :math:`w_l(x, y)` along :math:`\theta_l` the mean is a scalar and linear in its chunks
:math:`C_1, C_2, \dots`,

.. math:: W = \frac{1}{L} \sum_c \sum_{l \in C_c} w_l , \qquad
    \nabla (g W) = g \sum_c \nabla \Big( \frac{1}{L} \sum_{l \in C_c} w_l \Big) ,

so that its gradient is known, but for the factor :math:`g` of the backward pass, when a chunk is
at hand. Nothing between is kept for that pass, or computed again there.
"""

__all__ = ["chunked_mean"]

from collections.abc import Callable
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def chunked_mean(
    slices: Callable[..., Tensor],
    rows: int,
    tracked: list[bool],
    theta: Tensor,
    x: Tensor,
    y: Tensor,
) -> Tensor:
    r"""Computes the mean over slices, at most so many rows of directions at once.

    Arguments:
        slices: The function :math:`(\theta, x, y) \mapsto (w_l)_l`, differentiable in these alone.
        rows: The directions of a chunk.
        tracked: Which of the directions and both samples want a gradient, at least one of them.
        theta: The directions as rows, with shape :math:`(L, d)`.
        x: The first samples, with shape :math:`(N, d)`.
        y: The second samples, with shape :math:`(M, d)`.

    Returns:
        The mean, a scalar.
    """

    return cast(Tensor, ChunkedMean.apply(slices, rows, tracked, theta, x, y)[0])


@final
class ChunkedMean(torch.autograd.Function):
    r"""The mean and, kept for the backward pass, its gradients."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's, untyped
        slices: Callable[..., Tensor],
        rows: int,
        tracked: list[bool],
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        leaves = [v.detach().requires_grad_(t) for v, t in zip(inputs, tracked, strict=True)]
        theta, x, y = leaves
        wanted = [v for v in leaves if v.requires_grad]
        total, gradients = x.new_zeros(()), [torch.zeros_like(v) for v in wanted]
        for start in range(0, len(theta), rows):
            # Hooks are of the graph around, which has no part in this one.
            with torch.enable_grad(), saved_tensors_hooks(as_it_is, as_it_is):
                chunk = slices(theta[start : start + rows], x, y).sum() / len(theta)
            for gradient, more in zip(gradients, torch.autograd.grad(chunk, wanted), strict=True):
                gradient += more
            total += chunk.detach()
        ctx.slices, ctx.rows, ctx.tracked = slices, rows, tracked
        ctx.constants = [v.detach() for v, t in zip(inputs, tracked, strict=True) if not t]
        ctx.mark_non_differentiable(*gradients)
        ctx.save_for_backward(*(v for v, t in zip(inputs, tracked, strict=True) if t), *gradients)
        return total, *gradients

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch's, untyped
        g: Tensor,
        *_: Tensor,
    ) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        variables, gradients = iter(saved[: len(saved) // 2]), saved[len(saved) // 2 :]
        if torch.is_grad_enabled():  # a second derivative may be asked for
            constants = iter(ctx.constants)
            inputs = [next(variables if t else constants) for t in ctx.tracked]
            gradients = differentiable_gradients(ctx.slices, ctx.rows, ctx.tracked, *inputs)
        scaled = iter([g * gradient for gradient in gradients])
        return None, None, None, *(next(scaled) if t else None for t in ctx.tracked)


def differentiable_gradients(
    slices: Callable[..., Tensor],
    rows: int,
    tracked: list[bool],
    theta: Tensor,
    x: Tensor,
    y: Tensor,
) -> list[Tensor]:
    r"""Computes what :class:`ChunkedMean` has kept once more, as a function of its inputs."""

    of_parts, of_x, of_y = [], torch.zeros_like(x), torch.zeros_like(y)
    for part in theta.split(rows):
        _, pull, *_ = torch.func.vjp(slices, part, x, y)
        of_part, more_x, more_y = pull(part.new_full((len(part),), 1 / len(theta)))
        of_parts.append(of_part)
        of_x, of_y = of_x + more_x, of_y + more_y
    gradients = (torch.cat(of_parts), of_x, of_y)
    return [gradient for gradient, t in zip(gradients, tracked, strict=True) if t]


def as_it_is(x: Tensor) -> Tensor:
    return x

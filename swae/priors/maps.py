r"""What the maps from the cube are made of."""

__all__ = ["TAIL", "check_number", "polar", "standard_normal", "within"]

import math
import numbers

import torch
from torch import Tensor

TAIL = 3.72
r"""The t for which :math:`\|z\| > \sqrt{d} + t` has a probability below 1/1000, z standard normal.

By the concentration of Lipschitz functions, :math:`P \leq \exp(-t^2 / 2)`.
"""


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


def check_number(
    name: str, value: float, *, above: float = -math.inf, least: float = -math.inf
) -> float:
    number = isinstance(value, numbers.Real) and math.isfinite(value)
    if not (number and value > above and value >= least):
        bound = f"> {above}" if above > -math.inf else f">= {least}"
        raise ValueError(f"{name} has to be a finite number {bound}, but is {value!r}.")
    return float(value)

r"""Walks through the space of codes, to be decoded.

Codes that follow a prior can be walked through: what lies between two of them, or beyond one of
them, is data too. The functions here know codes alone, :math:`z \in \mathbb{R}^d` in rows, and
give codes; the decoder does the rest:

    a, b = model.transform(X[:4]), model.transform(X[4:8])
    z = interpolate(a, b, steps=9)                       # (4, 9, d)
    x = decoded(model.inverse_transform, z)              # (4, 9, *)

A path from :math:`a` to :math:`b` is the line, or follows the sphere. With the norms
:math:`\alpha, \beta` of the codes, their directions :math:`u, v` and the angle :math:`\theta`
between these (Shoemake, 1985),

.. math:: z_t = (1 - t) a + t b , \qquad
    z_t = ((1 - t) \alpha + t \beta)
          \frac{\sin((1 - t) \theta) \, u + \sin(t \theta) \, v}{\sin \theta} .

The line stays inside a convex prior (uniform, ball, circle). Between normal codes in many
dimensions it passes through norms that the prior never has, and the second path does not; nor
does it leave a ring or a sphere.

The modes of codes are their principal components. With the mean :math:`\mu` and the eigenpairs
:math:`(\sigma_i^2, v_i)` of the covariance, the walk along a mode is

.. math:: z_i(t) = \mu + t \, \sigma_i v_i , \qquad t \in [-3, 3] .
"""

__all__ = ["Kind", "Modes", "along", "decoded", "inside", "interpolate", "modes"]

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .priors import Prior

Codes = NDArray[Any] | Tensor
Floats = NDArray[np.floating[Any]]

Kind = Literal["linear", "spherical"]
r"""The names of the paths between two codes."""

TURN = 1e-8
r"""The sine of an angle that counts as none: below it rounding decides where a turn goes."""


class Modes(NamedTuple):
    r"""The principal components of codes, from the widest on.

    Arguments:
        mean: The mean :math:`\mu` of the codes, with shape :math:`(d)`.
        sigma: The standard deviations :math:`\sigma_i` along the modes, with shape :math:`(k)`.
        directions: The unit directions :math:`v_i`, the columns of shape :math:`(d, k)`. The
            largest entry of each is positive.
        share: The share of the codes' whole variance in each mode, with shape :math:`(k)`; zero
            where the codes are constant.
    """

    mean: Floats
    sigma: Floats
    directions: Floats
    share: Floats


def interpolate(a: Codes, b: Codes, steps: int = 9, kind: Kind = "linear") -> Floats:
    r"""Walks from codes to others in even steps.

    A spherical path changes the norm linearly. A code of zero has no direction and takes the
    other's; opposite codes have no shortest way, and turn towards the coordinate axis that is
    the most orthogonal to them (the first of those). On a line, :math:`d = 1`, there is no turn
    and the path is linear.

    Arguments:
        a: The first codes, with shape :math:`(n, d)`, or one with shape :math:`(d)`.
        b: The last codes, of the same shape.
        steps: The number of codes on each path, with its ends, at least 2.
        kind: The path: linear or spherical.

    Returns:
        The codes, with shape :math:`(n, \text{steps}, d)`. The first and the last of each path
        are exactly those given.

    Raises:
        ValueError: If the codes have another shape or are not finite, or a setting can't be.

    Example:
        >>> interpolate(np.array([0.0, 1.0]), np.array([2.0, 1.0]), steps=3).tolist()
        [[[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]]
    """

    a, b = as_ends(a, b)
    check_least("steps", steps, 2)
    if kind not in get_args(Kind):
        raise ValueError(f"kind has to be one of {get_args(Kind)}, but is {kind!r}.")

    t = np.linspace(0, 1, steps)[:, None]
    walk = turn if kind == "spherical" and a.shape[1] > 1 else line
    z = walk(a.astype(np.float64)[:, None], b.astype(np.float64)[:, None], t)
    z = z.astype(np.result_type(a, b, np.float32))
    z[:, 0], z[:, -1] = a, b  # rounding would move them
    return z


def line(a: Floats, b: Floats, t: Floats) -> Floats:
    r"""Returns :math:`(1 - t) a + t b`."""

    return (1 - t) * a + t * b


def turn(a: Floats, b: Floats, t: Floats) -> Floats:
    r"""Returns :math:`((1 - t) \alpha + t \beta) (\cos(t \theta) u + \sin(t \theta) w)`.

    Here w is the direction of v without its part along u, so that nothing is divided by the sine
    of an angle that may be zero.
    """

    (alpha, u), (beta, v) = polar(a), polar(b)
    u, v = np.where(alpha > 0, u, v), np.where(beta > 0, v, u)

    cosine = (u * v).sum(axis=-1, keepdims=True)
    sine, w = polar(v - cosine * u)
    w = np.where(sine > TURN, w, any_orthogonal(u))
    theta = np.arctan2(sine, cosine)
    return line(alpha, beta, t) * (np.cos(t * theta) * u + np.sin(t * theta) * w)


def polar(z: Floats) -> tuple[Floats, Floats]:
    r"""Returns norms and directions; the direction of zero is zero."""

    # Scaled first: the squares of very large or very small entries have no float.
    largest = np.abs(z).max(axis=-1, keepdims=True)
    scaled = z / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return largest * norm, scaled / np.where(norm > 0, norm, 1)


def any_orthogonal(u: Floats) -> Floats:
    r"""Returns the direction towards the axis that is the most orthogonal to u."""

    axis = np.eye(u.shape[-1])[np.abs(u).argmin(axis=-1)]
    return polar(axis - (axis * u).sum(axis=-1, keepdims=True) * u)[1]


def modes(codes: Codes, k: int | None = None) -> Modes:
    r"""Finds the directions in which codes vary most.

    Arguments:
        codes: The codes, with shape :math:`(n, d)`, at least two of them.
        k: The number of modes, at most :math:`\min(n, d)`, which it is by default.

    Returns:
        The modes.

    Raises:
        ValueError: If the codes have another shape, are fewer or are not finite, or have not so
            many modes.

    Example:
        >>> modes(np.array([[0.0, 1.0], [4.0, 1.0], [8.0, 1.0]])).sigma.tolist()
        [4.0, 0.0]
    """

    z = as_codes("codes", codes).astype(np.float64)
    n, d = z.shape
    if n < 2:
        raise ValueError(f"codes has to hold at least 2 codes to vary, but holds {n}.")
    if k is not None and not 1 <= k <= min(n, d):
        raise ValueError(
            f"k has to be from 1 to {min(n, d)} for {n} codes of {d} dimensions, but is {k}."
        )

    mean = z.mean(axis=0)
    _, s, vt = np.linalg.svd(z - mean, full_matrices=False)
    variance = s**2 / (n - 1)
    # A mode has no sign of its own: the largest entry is made positive.
    v = vt.T * np.where(vt.T[np.abs(vt).argmax(axis=1), np.arange(len(vt))] < 0, -1, 1)
    share = variance / (variance.sum() or 1)
    return Modes(mean, np.sqrt(variance[:k]), v[:, :k], share[:k])


def along(
    modes: Modes,
    index: int | Sequence[int] | None = None,
    *,
    steps: int = 7,
    sigmas: float = 3.0,
) -> Floats:
    r"""Walks along modes, from one side of the mean to the other in even steps.

    Arguments:
        modes: The modes.
        index: Which of them to walk along, counted from 0; all if :py:`None`.
        steps: The number of codes on each path, at least 2; the middle one of an odd number is
            the mean.
        sigmas: How far each path goes either way, in standard deviations, above 0.

    Returns:
        The codes :math:`\mu + t \sigma_i v_i`, with shape :math:`(k, \text{steps}, d)`.

    Raises:
        ValueError: If there is no such mode, or a setting is too small.

    Example:
        >>> z = np.array([[0.0, 1.0], [4.0, 1.0], [8.0, 1.0]])
        >>> along(modes(z), 0, steps=3, sigmas=1).tolist()
        [[[0.0, 1.0], [4.0, 1.0], [8.0, 1.0]]]
    """

    check_least("steps", steps, 2)
    if not 0 < sigmas < np.inf:
        raise ValueError(f"sigmas has to be a number above 0, but is {sigmas}.")
    k = len(modes.sigma)
    chosen = np.arange(k) if index is None else np.atleast_1d(index)
    if not ((chosen >= 0) & (chosen < k)).all():
        raise ValueError(f"index has to be from 0 to {k - 1}, but is {index}.")

    t = sigmas * np.arange(1 - steps, steps, 2) / (steps - 1)  # zero is exact in the middle
    arms = (modes.sigma * modes.directions).T[chosen]
    return modes.mean + t[:, None] * arms[:, None]


def decoded(decode: Callable[[Floats], Floats], z: Floats) -> Floats:
    r"""Decodes the codes of paths, or others in any number of axes.

    Arguments:
        decode: The decoder, from codes :math:`(n, d)` to samples :math:`(n, *)`.
        z: The codes, with shape :math:`(\dots, d)`, as :math:`(n, \text{steps}, d)`.

    Returns:
        The samples, with shape :math:`(\dots, *)`.

    Example:
        >>> decoded(lambda z: z[:, :1], np.zeros((2, 3, 5))).shape
        (2, 3, 1)
    """

    x = decode(z.reshape(-1, z.shape[-1]))
    return x.reshape(*z.shape[:-1], *x.shape[1:])


def inside(codes: Codes, prior: Prior) -> float | None:
    r"""Returns the share of codes that lie where the prior is.

    Arguments:
        codes: The codes, with shape :math:`(*, d)`.
        prior: The law.

    Returns:
        The share, in [0, 1]; :py:`None` where the prior's support is not known.

    Raises:
        ValueError: If the codes have another dimension than the prior.

    Example:
        >>> from swae import Uniform
        >>> inside(np.array([[0.0, 0.5], [0.0, 1.5]]), Uniform(2))
        0.5
    """

    z = torch.as_tensor(codes)
    if z.ndim < 1 or z.shape[-1] != prior.dim:
        raise ValueError(
            f"codes has to have {prior.dim} columns as the prior has, but has the shape "
            f"{tuple(z.shape)}."
        )
    held = prior.contains(z)
    return None if held is None else held.double().mean().item()


def as_ends(a: Codes, b: Codes) -> tuple[Floats, Floats]:
    r"""Returns the first and the last codes, rows of one shape."""

    if tuple(a.shape) != tuple(b.shape):
        raise ValueError(
            f"b has to have the shape of a, {tuple(a.shape)}, but has {tuple(b.shape)}."
        )
    return as_codes("a", a, one=True), as_codes("b", b, one=True)


def as_codes(name: str, value: Codes, *, one: bool = False) -> Floats:
    r"""Returns (n, d) finite numbers; a single code is a row where it is allowed."""

    z = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
    z = z[None] if one and z.ndim == 1 else z
    if z.ndim != 2 or z.size == 0:
        wanted = "(n, d) or (d,)" if one else "(n, d)"
        raise ValueError(f"{name} has to have the shape {wanted}, but has {tuple(value.shape)}.")
    if z.dtype.kind not in "iuf":
        raise ValueError(f"{name} has to hold real numbers, but is of the type {z.dtype}.")
    if not np.isfinite(z).all():
        raise ValueError(f"{name} has to be finite, but holds NaN or infinity.")
    return z


def check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} has to be at least {least}, but is {value}.")

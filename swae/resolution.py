r"""What float32 can't tell apart.

Models see float32, whose neighbours lie :math:`|a| \, 2^{-23}` apart at most. Seconds since 1970
are :math:`a = 1.7 \cdot 10^9`, where that is two minutes: a column of them that varies by a second
is constant once it is cast, and standardisation comes too late. So it is told before, of each
column :math:`a_1, \dots, a_n` that

.. math:: 0 < \max_i |a_i - a_1| < \delta(a_1) ,

with the step :math:`\delta` of float32 there. What differs by the rounding of float64 alone is
constant, and so is what vanishes next to every float32.
"""

__all__ = ["lost_column"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2.0**-40
r"""The share of a float64 that its last bits are, after some arithmetic."""

FEW = 50
r"""The rows that may lie close together by chance: a moment of a day that was trained on."""

VALUES = 2**16
r"""The values that are compared at once; a cache holds them."""


def lost_column(x: NDArray[Any]) -> int | None:
    r"""Finds a column that varies, but not so that float32 could tell.

    Rows are compared in parts, and only in the columns that are not yet known to vary: of most
    data the first few are enough.

    Arguments:
        x: The samples, :math:`(n, \dots)`, finite numbers.

    Returns:
        The position of the first such column among the flat ones, or :py:`None`.

    Example:
        >>> seconds = 1.7e9 + np.linspace(-1, 1, 100)
        >>> lost_column(seconds[:, None]), lost_column(seconds[:, None] - 1.7e9)
        (0, None)
    """

    if len(x) < FEW or np.can_cast(x.dtype, np.float32):
        return None
    first = x[0].ravel()
    delta = step(first)
    varies = np.zeros(first.size, dtype=bool)
    left, start, rows = np.arange(first.size), 0, FEW
    while start < len(x) and len(left):
        part = x[start : start + rows].reshape(-1, first.size)[:, left]
        moved = (part != first[left]).any(axis=0)  # few of the columns that are left
        some, part = left[moved], part[:, moved]
        varies[some] |= differs(part, first[some]).any(axis=0)
        far = some[(distance(part, first[some]) >= delta[some]).any(axis=0)]
        left = np.setdiff1d(left, far, assume_unique=True)
        start, rows = start + rows, max(1, VALUES // max(1, len(left)))
    lost = left[varies[left]]
    return int(lost[0]) if len(lost) else None


def step(a: NDArray[Any]) -> NDArray[np.float64]:
    r"""The distance to the next float32 towards 0, which is the nearer one."""

    size = np.abs(a.astype(np.float64)).astype(np.float32)
    return np.spacing(np.nextafter(size, np.float32(0))).astype(np.float64)


def distance(x: NDArray[Any], a: NDArray[Any]) -> NDArray[np.float64]:
    return np.abs(x.astype(np.float64) - a.astype(np.float64))


def differs(x: NDArray[Any], a: NDArray[Any]) -> NDArray[np.bool_]:
    r"""Tells integers apart, and other numbers that differ by more than their rounding."""

    if x.dtype.kind != "f":
        return np.asarray(x != a)
    least = np.maximum(ROUNDING * np.abs(a), np.finfo(np.float32).tiny)
    return np.asarray(distance(x, a) > least)

r"""Sorting rows of float32 on a CPU.

One-dimensional transport is a sort. What it needs of one is little: of a side without gradient
the sorted values alone, of a side with gradient the order :math:`\sigma`.

:func:`torch.sort` compares pairs, one after another, and always carries 64-bit indices. Four ways
around it, all NumPy:

- ``packed``: the order from one sort of 64-bit words, a key in the upper half and the index in
  the lower. Integers of that width are sorted with the vector units.
- ``radix``: the order from two stable counting sorts of the key's 16-bit halves. Its time a value
  does not grow with the row.
- ``vector``: the values, sorted with the vector units.
- ``buckets``: the values, brought near their place by a counting sort of their first 8 or 16 bits
  within the row's range, then sorted in short windows that overlap.

A key is a float's bits, turned so that unsigned integers compare as floats do. Both orders leave
ties as they stood, so they are one and the same, and sorted values have no choice: which way is
taken changes no result. It is decided by a stopwatch, once for each size, since it turns on the
machine; ``docs/performance.md`` has the figures.

Rows are shared among as many threads as torch uses; NumPy lets go of the interpreter's lock while
it sorts.
"""

__all__ = ["argsort", "sort"]

import functools
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = npt.NDArray[Any]
r"""A matrix whose rows are sorted, each on its own."""

Way = Callable[[Rows, Rows], None]
r"""A way to sort the rows of the first into the second, which gets their values or order."""

BLOCK = 2**17
r"""The values that a thread takes at once: few calls, for threads wait on each other at each."""

SMALL = 2**16
r"""The values below which a second thread costs more than it saves."""

WINDOW = 256
r"""The length of the windows of ``buckets``: what a sorting network does in registers."""

NARROW = 1e-30
r"""A range of values that float32 can still be divided by."""


# --- the order


def packed(x: Rows, order: Rows) -> None:
    words = order.view(np.uint64)
    words[:] = keys(x)
    words <<= np.uint64(32)
    words |= np.arange(x.shape[-1], dtype=np.uint64)
    words.sort(axis=-1)
    words &= np.uint64(2**32 - 1)


def radix(x: Rows, order: Rows) -> None:
    words = keys(x)
    low, high = words.astype(np.uint16), (words >> 16).astype(np.uint16)
    first = low.argsort(axis=-1, kind="stable")
    first += starts(x)
    second = high.take(first).argsort(axis=-1, kind="stable")
    second += starts(x)
    first.take(second, out=order, mode="clip")
    order -= starts(x)


# --- the values


def vector(x: Rows, values: Rows) -> None:
    values[:] = x
    values.sort(axis=-1)


def buckets(x: Rows, values: Rows) -> None:
    lowest, highest = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        width = highest - lowest
    if not ((width > NARROW) & (width < np.inf)).all():
        vector(x, values)
        return

    digit = np.uint8 if x.shape[-1] <= 2**13 else np.uint16
    share = x - lowest
    share *= np.iinfo(digit).max / width
    coarse = share.astype(digit).argsort(axis=-1, kind="stable")
    coarse += starts(x)
    x.take(coarse, out=values, mode="clip")
    for start in (0, WINDOW // 2):
        whole = start + (x.shape[-1] - start) // WINDOW * WINDOW
        values[:, start:whole].reshape(len(x), -1, WINDOW).sort(axis=-1)
        values[:, whole:].sort(axis=-1)
    if (values[:, 1:] < values[:, :-1]).any():  # over half a window in one bucket
        values.sort(axis=-1)


# --- what they share


def keys(x: Rows) -> Rows:
    r"""Turns float32 into uint32 that compare as the floats do; NaN is beyond an infinity."""

    bits = (x + 0).view(np.int32)  # a negative zero is a zero
    flip = bits >> 31  # all ones for negative numbers, whose order is turned around
    flip |= np.int32(-(2**31))
    flip ^= bits
    return flip.view(np.uint32)


def starts(x: Rows) -> Rows:
    r"""Returns where each row starts in the whole, as a column."""

    return np.arange(0, x.size, x.shape[-1])[:, None]


# --- the choice

ORDERS, VALUES = (packed, radix), (vector, buckets)


@functools.cache
def fastest(ways: tuple[Way, ...], dtype: torch.dtype, n: int) -> Way:
    r"""Times ways on normal values, in rows of n."""

    x = np.random.default_rng(0).standard_normal((max(1, 2**15 // n), n), dtype=np.float32)
    result = torch.empty(x.shape, dtype=dtype, device="cpu").numpy()
    return min(ways, key=lambda way: min(seconds(way, x, result) for _ in range(4)))


def seconds(way: Way, x: Rows, result: Rows) -> float:
    began = time.perf_counter()
    way(x, result)
    return time.perf_counter() - began


# --- the threads


def sort_rows(ways: tuple[Way, ...], x: Tensor, dtype: torch.dtype) -> Tensor:
    r"""Sorts along the last dimension by the faster way, blocks of rows in threads if it pays."""

    n = x.shape[-1]
    source = x.contiguous().reshape(-1, n).numpy()
    result = x.new_empty(x.shape, dtype=dtype)
    target = result.reshape(-1, n).numpy()
    way = fastest(ways, dtype, 2 ** min(n.bit_length() - 1, 16))

    def work(block: slice) -> None:
        way(source[block], target[block])

    helpers = torch.get_num_threads() - 1 if source.size >= SMALL else 0
    step = max(1, min(BLOCK // n, -(-len(source) // (1 + helpers))))
    blocks = deque(slice(start, start + step) for start in range(0, len(source), step))
    work_through(blocks, work, helpers)
    return result


def work_through(blocks: deque[slice], work: Callable[[slice], None], helpers: int) -> None:
    r"""Does the work on each block, with as many threads besides this one.

    This thread works too: while it slept, a system may run it and its helper on one core. It waits
    for no helper that has not begun, since all callers share them.
    """

    def drain() -> None:
        while (block := next_of(blocks)) is not None:
            work(block)

    others: list[Future[None]] = []
    with suppress(RuntimeError):  # at the interpreter's end there are no more threads
        for _ in range(min(helpers, len(blocks) - 1)):
            others.append(pool(helpers).submit(drain))
    drain()
    for other in others:
        if not other.cancel():
            other.result()


def next_of(blocks: deque[slice]) -> slice | None:
    r"""Takes a block, unless another thread took the last."""

    with suppress(IndexError):
        return blocks.popleft()
    return None


@functools.cache
def pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="swae-sort")


if hasattr(os, "register_at_fork"):  # a forked process has the pool, but none of its threads
    os.register_at_fork(after_in_child=pool.cache_clear)


# --- torch's operators, which autocast, torch.compile and torch.func go through


def register(name: str, ways: tuple[Way, ...], dtype: torch.dtype) -> None:
    r"""Makes an operator of ways to sort; once, also where this module is loaded again."""

    if hasattr(torch.ops.swae, name):
        return

    def real(x: Tensor) -> Tensor:
        return sort_rows(ways, x, dtype)

    def fake(x: Tensor) -> Tensor:
        return x.new_empty(x.shape, dtype=dtype)

    def batched(
        info: Any,  # noqa: ANN401 - of a class that torch keeps to itself
        dims: tuple[int],
        x: Tensor,
    ) -> tuple[Tensor, int]:
        op = getattr(torch.ops.swae, name)  # again, for x may be of another transform
        return op(x.movedim(dims[0], 0)), 0

    torch.library.define(f"swae::{name}", "(Tensor x) -> Tensor")
    torch.library.impl(f"swae::{name}", "cpu", real)
    torch.library.register_fake(f"swae::{name}", fake)
    torch.library.register_vmap(f"swae::{name}", batched)


register("sort", VALUES, torch.float32)
register("argsort", ORDERS, torch.int64)


def sort(x: Tensor) -> Tensor:
    r"""Sorts along the last dimension, to the values; not differentiable.

    Arguments:
        x: The values in float32, with shape :math:`(*, n)`.

    Returns:
        The sorted values, with the same shape. NaN is at an end.
    """

    values: Tensor = torch.ops.swae.sort.default(x.detach())
    return values


def argsort(x: Tensor) -> Tensor:
    r"""Finds the order along the last dimension, ties as they stand.

    Arguments:
        x: The values in float32, with shape :math:`(*, n)`.

    Returns:
        The indices, int64, with the same shape.
    """

    order: Tensor = torch.ops.swae.argsort.default(x.detach())
    return order

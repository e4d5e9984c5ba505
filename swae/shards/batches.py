r"""Batches of the rows of shards, in an order that seed and epoch give."""

__all__ = ["ShardBatches"]

import copy
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from ..data import Batch, Batches, check_batch_size, to_float
from ..seeding import stream
from .files import TOGETHER
from .rows import BLOCK_BYTES, Part, Shards, cut

BLOCK_ROWS = 10_000
r"""The rows of a block that is shuffled, at most."""


@final
class ShardBatches(Batches):
    r"""Batches of samples in shards, in an order that seed and epoch give.

    Arguments:
        shards: The shards.
        batch_size: The number of samples in a batch, of all ranks together.
        seed: The seed of the order.
        drop_last: Whether the last batch is left out if it is smaller.
        block: The rows W that are shuffled together, and held in memory. If :py:`None`, 10,000,
            or as many as 64 MiB hold.

    Raises:
        ValueError: If there would be no batch, or a block no row.
    """

    same_for_ranks = False

    def __init__(
        self,
        shards: Shards,
        batch_size: int,
        *,
        seed: int = 0,
        drop_last: bool = False,
        block: int | None = None,
    ) -> None:
        check_batch_size(batch_size, len(shards), drop_last)
        if block is not None and block < 1:
            raise ValueError(f"block must be at least 1, got {block}.")
        self.shards, self.batch_size, self.seed = shards, batch_size, seed
        self.shape = shards.shape
        self.n = len(shards) - len(shards) % batch_size * drop_last
        self.block = block or max(1, min(BLOCK_ROWS, BLOCK_BYTES // shards.row_bytes))
        self.rank, self.ranks = 0, 1

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def size(self, i: int) -> int:
        return min(self.batch_size, self.n - i * self.batch_size)

    def of_rank(self, rank: int, ranks: int) -> "ShardBatches":
        r"""Returns the batches of which a rank reads its own rows, from shards of its own."""

        alike = copy.copy(self)
        alike.rank, alike.ranks = rank, ranks
        return alike

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        r"""Iterates over the batches of an epoch.

        Arguments:
            epoch: The number of the epoch, from 0.
            start: The number of the batch to begin at; shards before its block are not opened.
        """

        before = sum(self.up_to(len(self), r) for r in range(self.rank))
        stop, skip = before + self.up_to(len(self), self.rank), self.up_to(start, self.rank)
        rows = self.shuffled(epoch, before, stop, skip)
        sizes = (self.own(i) for i in range(start, len(self)))
        for part in cut(rows, sizes, empty=self.shape):
            yield Batch(to_float(part.x), part.labels)

    def own(self, i: int) -> int:
        r"""Returns how many rows of batch i this rank has."""

        return self.up_to(i + 1, self.rank) - self.up_to(i, self.rank)

    def up_to(self, i: int, rank: int) -> int:
        r"""Returns how many rows a rank has of the batches before batch i."""

        whole, last = min(i, self.n // self.batch_size), self.n % self.batch_size
        rows = whole * share(self.batch_size, rank, self.ranks)
        return rows + (i > whole) * share(last, rank, self.ranks)

    def shuffled(self, epoch: int, start: int, stop: int, skip: int) -> Iterator[Part]:
        r"""Yields shuffled blocks of a part of an epoch's sequence, but for the first rows."""

        s = len(self.shards.files)
        order = torch.randperm(s, generator=stream(self.seed, "shards", epoch)).tolist()
        shards = self.shards.select_shards(order)
        first = start + skip // self.block * self.block
        blocks = [(at, min(self.block, stop - at)) for at in range(first, stop, self.block)]
        sizes = (min(TOGETHER, n - i) for _, n in blocks for i in range(0, n, TOGETHER))
        rows = cut(shards.parts(first, stop), sizes)
        for at, n in blocks:
            generator = stream(self.seed, "block", epoch, at)
            yield scattered(rows, torch.randperm(n, generator=generator)).taken(
                slice(max(0, start + skip - at), None)
            )


def share(m: int, rank: int, ranks: int) -> int:
    r"""Returns how many of m rows are a rank's.

    Example:
        >>> [share(5, r, 3) for r in range(3)]
        [2, 2, 1]
    """

    return m // ranks + (rank < m % ranks)


def scattered(rows: Iterator[Part], order: Tensor) -> Part:
    r"""Reads as many rows as an order has and puts each at once where it belongs.

    A block is the most that is held, so nothing of it is held twice.
    """

    place, at = order.argsort(), 0
    part = next(rows)
    x = part.x.new_empty(len(order), *part.x.shape[1:])
    labels = None if part.labels is None else part.labels.new_empty(len(order))
    while True:
        where = place[at : at + len(part.x)]
        x[where] = part.x
        if labels is not None and part.labels is not None:
            labels[where] = part.labels
        at += len(part.x)
        if at >= len(order):
            return Part(x, labels)
        part = next(rows)

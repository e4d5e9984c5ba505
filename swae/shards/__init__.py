r"""Data in shards, read as they come: more of them than memory or disk cache could hold.

A folder holds shards, Parquet files or tar archives in the form of WebDataset, which the library
`datasets` streams. No row of them is kept, but for the block that is shown. The rows of shards
:math:`1, \dots, S` in their order are a sequence of :math:`N`; what an epoch :math:`t` shows is

.. math:: (s, t) \;\mapsto\; \pi_{s,t} \in S_S \quad \text{(the order of the shards)} , \qquad
    (s, t, b) \;\mapsto\; \pi_{s,t,b} \in S_W \quad \text{(of the rows of block } b \text{)} .

The sequence is that of the shards in the order :math:`\pi_{s,t}`. It is cut into blocks of
:math:`W` rows, what memory takes, each of which is shuffled by itself, and then into batches. So
rows that lie together in a shard meet in batches, unless they are mixed up beforehand or
:math:`W` is large. In return each position is a function of seed and epoch: a run goes on at any
batch, and opens the shards of the block that it lies in and none before.

**Ranks.** Of a batch of :math:`m` rows rank :math:`r < R` has
:math:`m_r = \lfloor m / R \rfloor` or one more, as everywhere (:mod:`swae.data`); of an epoch its
:math:`n_r = \sum m_r` rows are a part of the sequence, the one after rank :math:`r - 1`'s. The
parts are disjoint and all of it. Only a shard across a border is read by two ranks, each of which
leaves the other's rows out, so shards may be fewer than ranks.

A sample is what it is for `datasets:FOLDER` (:mod:`swae.hub`). Labels are whole numbers. What
can't be read is not left out, for nobody has seen all rows before: it is refused with its place.
"""

__all__ = ["Rows", "ShardBatches", "Shards", "from_anywhere", "has_test", "is_ours", "load"]

from .batches import ShardBatches
from .rows import Rows, Shards
from .source import from_anywhere, has_test, is_ours
from .splits import load

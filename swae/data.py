r"""Samples, in memory or mapped from a file, and batches of them, under one contract.

Data are a tensor :math:`x` of shape :math:`(n, \dots)`, channels first, :math:`(n, c, h, w)` for
images and :math:`(n, d)` for vectors, in one of two types. Bytes stay bytes in memory, a quarter
of the size, and stand for :math:`x / 255 \in [0, 1]`; everything else is float32 and taken as it
is. All of it is finite, or it is refused.

What is mapped from a file is never copied as a whole: to choose among it is to keep an index, and
rows are read when they are asked for. A batch of them is read while the one before is used.

Training sees `Batches`: float32, always. The batches of an epoch are a function of
(seed, epoch) alone,

.. math:: (s, t) \;\mapsto\; \pi_{s,t} \in S_n, \qquad
    (x_{\pi(1)}, \dots, x_{\pi(m)}), \; (x_{\pi(m+1)}, \dots, x_{\pi(2m)}), \; \dots

so a run that is resumed at epoch :math:`t` sees what it would have seen, and neither torch's
nor NumPy's global generator is touched. Where :math:`R` ranks train together, a batch of
:math:`m` is the same one for all of them, and rank :math:`r` reads its rows

.. math:: \lfloor m / R \rfloor r + \min(r, m \bmod R) , \; \dots

of it, that many or one more: in the order of the ranks they are the batch. The last batch of an
epoch may have fewer rows than there are ranks, and then nothing for some.
"""

__all__ = [
    "ArrayBatches",
    "Batch",
    "Batches",
    "DataError",
    "LoaderBatches",
    "PartBatches",
    "Samples",
    "as_samples",
    "check_finite",
    "holdout",
    "in_order",
    "to_float",
]

import abc
import copy
import dataclasses
import hashlib
import math
import mmap
import warnings
from collections.abc import Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from typing import Any, NamedTuple, TypeVar, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from . import images
from .images import DataError
from .resolution import lost_column
from .seeding import stream
from .workers import watched

T = TypeVar("T")

BLOCK = 2**25
r"""The bytes of samples that are read at once where all of them are looked through."""


@final
@dataclass(frozen=True, eq=False)
class Samples:
    r"""Samples, what every source becomes.

    Arguments:
        array: The samples, :math:`(n, \dots)`, uint8 or float32, channels first.
        labels: The labels, :math:`(n,)`, int64, if there are any.
        rejected: The files that could not be read, as pairs of path and reason.
        digest: A sum of the array's bytes, if it is mapped from a cache, which knows it.
        index: The rows of the mapped array that the samples are, int64. If :py:`None`, all.
        columns: The names of the features, where a sample is a row of a table.
        classes: The names of the labels 0, 1, ..., where they have names.
        on_disk: Whether the array is mapped from a file. One with a digest is.

    Example:
        >>> samples = Samples(torch.zeros(5, 1, 8, 8, dtype=torch.uint8))
        >>> len(samples), samples.shape
        (5, (1, 8, 8))
    """

    array: Tensor
    labels: Tensor | None = None
    rejected: tuple[tuple[str, str], ...] = ()
    digest: str | None = None
    index: Tensor | None = None
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    on_disk: bool = False

    @property
    def x(self) -> Tensor:
        r"""The samples as a tensor; of mapped ones this is a copy in memory."""

        if self.index is not None:
            return gather(self.array, self.index)
        return self.array.clone() if self.mapped else self.array

    @property
    def dtype(self) -> torch.dtype:
        r"""The type of the samples, uint8 or float32."""

        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        r"""The shape of one sample."""

        return tuple(self.array.shape[1:])

    @property
    def mapped(self) -> bool:
        r"""Whether the samples lie in a file."""

        return self.on_disk or self.digest is not None

    def __len__(self) -> int:
        return len(self.array) if self.index is None else len(self.index)

    def chunks(self, size: int) -> Iterator[Tensor]:
        r"""Iterates over the samples in their order, so many at a time."""

        if self.index is not None:
            yield from (gather(self.array, part) for part in self.index.split(size))
        elif self.mapped:  # as a copy, for what is mapped may not be written to
            yield from (part.clone() for part in self.array.split(size))
        else:
            yield from self.array.split(size)

    def blocks(self, size: int | None = None) -> Iterator[Tensor]:
        r"""Iterates likewise, over parts of 32 MiB at most, and of so many samples at most."""

        rows = max(1, BLOCK // max(1, math.prod(self.shape) * self.array.itemsize))
        return self.chunks(rows if size is None else min(size, rows))

    def reshape(self, shape: Sequence[int]) -> "Samples":
        r"""Returns the same values as samples of another shape."""

        return dataclasses.replace(self, array=self.array.reshape(-1, *shape))

    def fingerprint(self) -> str:
        r"""Returns a sum that other samples, or the same in another order, do not have."""

        if self.digest is not None:  # which stands for the bytes
            shape, index = tuple(self.array.shape), self.index
            rows = b"all" if index is None else index.numpy().tobytes()
            return hashlib.sha256(f"{shape}{self.digest}".encode() + rows).hexdigest()
        digest = hashlib.sha256(f"{(len(self), *self.shape)}".encode())
        for part in self.blocks():
            digest.update(part.contiguous().view(torch.uint8).numpy(force=True).data)
        return digest.hexdigest()

    def select(self, index: Tensor) -> "Samples":
        r"""Returns the samples at an index: a copy of them, or of mapped ones a view.

        Arguments:
            index: The positions, int64, or a mask, bool.
        """

        if index.dtype == torch.bool:
            index = index.nonzero().flatten()
        index = index.to(self.array.device)
        # index_select copies whole rows: several times faster than x[index] for images.
        labels = None if self.labels is None else self.labels.index_select(0, index)
        if self.mapped:
            rows = index if self.index is None else self.index.index_select(0, index)
            return dataclasses.replace(self, labels=labels, index=rows)
        return dataclasses.replace(self, array=self.array.index_select(0, index), labels=labels)


def gather(array: Tensor, index: Tensor) -> Tensor:
    """Copies rows of a mapped array; NumPy does it in the thread that asks, and in no others."""

    return torch.from_numpy(array.numpy().take(index.numpy(), axis=0))


def to_float(x: Tensor) -> Tensor:
    r"""Casts samples to float32, bytes to :math:`x / 255`.

    Arguments:
        x: The samples, uint8 or floating.

    Raises:
        TypeError: If the type is another one, whose scale is anyone's guess.

    Example:
        >>> to_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """

    if x.dtype == torch.uint8:
        return x.to(torch.float32).div_(255)
    if x.dtype.is_floating_point:
        return x.to(torch.float32)
    raise TypeError(
        f"x must be uint8, which stands for [0, 1] in steps of 1/255, or floating, got {x.dtype}: "
        "cast it to the one that is meant."
    )


def check_finite(x: Tensor, name: str = "X") -> None:
    r"""Refuses NaN and infinity.

    Arguments:
        x: The samples, :math:`(n, \dots)`.
        name: What the sentence calls them.

    Raises:
        DataError: If a value is not finite. It names the first such row and their number.
    """

    if not x.dtype.is_floating_point or x.numel() == 0:
        return
    # NaN prevails in both extremes, so two numbers tell, without a mask as large as the data.
    low, high = x.aminmax()
    if torch.isfinite(low) and torch.isfinite(high):
        return
    bad = (~torch.isfinite(x.reshape(len(x), -1))).any(dim=1).nonzero().flatten()
    raise DataError(
        f"{name} must be finite in float32, but {len(bad)} of its {len(x)} rows hold NaN or "
        f"infinity, the first of them row {int(bad[0])}: repair or remove them."
    )


def as_samples(
    X: object, labels: object = None, *, name: str = "X", fitting: bool = True
) -> Samples:
    r"""Brings an array under the contract, without a copy where it is there already.

    Bytes are kept, other integers and other floating types become float32.

    Arguments:
        X: The samples, a NumPy array or a tensor of shape :math:`(n, \dots)`, channels first.
        labels: The labels, :math:`(n,)`, integers. If :py:`None`, there are none.
        name: What sentences call the samples.
        fitting: Whether a model may be fitted to them, so that what varies has to vary in float32
            too. Some rows for a model that is fitted may lie as close together as they like.

    Raises:
        TypeError: If :py:`X` is not a dense array of real numbers.
        ValueError: If :py:`X` is empty or has less than two axes, or if the labels are not
            :math:`n` integers.
        DataError: If a value is not finite, or a column of a NumPy array varies by so little that
            float32 can't tell (:mod:`swae.resolution`).

    Example:
        >>> as_samples(np.ones((3, 2)), [0, 1, 0]).x.dtype
        torch.float32
    """

    x = as_tensor(X, name)
    if x.ndim < 2:
        raise ValueError(
            f"{name} must have a row per sample, (n, d) or (n, c, h, w), got shape "
            f"{tuple(x.shape)}: reshape one sample with {name}.reshape(1, -1), one feature with "
            f"{name}.reshape(-1, 1)."
        )
    if x.numel() == 0:
        raise ValueError(f"{name} must hold at least one value, got shape {tuple(x.shape)}.")
    check_finite(x, name)
    if fitting and not isinstance(X, Tensor):
        check_resolved(np.asarray(X), name)
    y = None if labels is None else as_labels(labels, len(x)).to(x.device)
    return Samples(x, y, on_disk=not isinstance(X, Tensor) and is_mapped(np.asarray(X), x))


def check_resolved(array: NDArray[Any], name: str) -> None:
    r"""Refuses a column that varies, but is constant or nearly so in float32."""

    lost = lost_column(array)
    if lost is None:
        return
    place = tuple(map(int, np.unravel_index(lost, array.shape[1:])))
    column = array.reshape(len(array), -1)[:, lost]
    raise DataError(
        f"Column {place[0] if len(place) == 1 else place} of {name} varies only from "
        f"{column.min():.17g} to {column.max():.17g}, which float32, that models see, can't tell "
        f"apart: subtract an offset first, as {name} - {name}.mean(axis=0), or leave it out."
    )


def as_tensor(X: object, name: str = "X") -> Tensor:
    """Casts to uint8 or float32 what holds real numbers."""

    if isinstance(X, Tensor):
        if X.layout != torch.strided:
            raise TypeError(
                f"{name} must be dense, got a sparse tensor ({X.layout}): use {name}.to_dense()."
            )
        if X.dtype == torch.bool or X.dtype.is_complex:
            raise wrong_type(X.dtype, name)
        return X.detach() if X.dtype == torch.uint8 else X.detach().to(torch.float32)
    if not hasattr(X, "__array__"):
        sparse = hasattr(X, "toarray")
        raise TypeError(
            f"{name} must be a {'dense ' if sparse else ''}NumPy array or tensor, got "
            f"{type(X).__name__}: use {f'{name}.toarray()' if sparse else f'np.asarray({name})'}."
        )
    array = np.asarray(X)
    if array.dtype.kind not in "uif":
        raise wrong_type(array.dtype, name)
    if array.dtype == np.uint8:
        return from_numpy(array)
    with np.errstate(over="ignore"):  # what overflows is refused as infinite, with its row
        return from_numpy(array.astype(np.float32, copy=False))


def wrong_type(dtype: object, name: str) -> TypeError:
    return TypeError(
        f"{name} must hold real numbers (uint8, another integer or floating type), got {dtype}: "
        f"cast it to the one that is meant, as {name}.astype('float32')."
    )


def from_numpy(array: NDArray[Any]) -> Tensor:
    """Shares memory where torch can: not read-only, in the native order, strides positive."""

    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.flags.c_contiguous and not native.flags.writeable and file_of(native) is not None:
        with warnings.catch_warnings():  # that nobody may write to it, which nobody does
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(native)
    shared = native.flags.writeable and native.flags.c_contiguous
    return torch.from_numpy(native if shared else np.array(native, order="C"))


def file_of(array: NDArray[Any]) -> mmap.mmap | None:
    r"""Returns the mapped file that an array lies in, if it does.

    Example:
        >>> file_of(np.zeros(3)) is None
        True
    """

    below: object = array
    while isinstance(below, np.ndarray):
        below = below.base
    return below if isinstance(below, mmap.mmap) else None


def is_mapped(array: NDArray[Any], x: Tensor) -> bool:
    r"""Tells whether a tensor shares the memory of an array that is mapped from a file."""

    return file_of(array) is not None and x.data_ptr() == array.ctypes.data


def as_labels(labels: object, n: int) -> Tensor:
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    whole = array.dtype.kind in "uib" or (
        array.dtype.kind == "f" and bool((np.isfinite(array) & (array == np.rint(array))).all())
    )
    if not whole:
        raise ValueError(
            f"labels must be integers, got {array.dtype}: "
            "np.unique(labels, return_inverse=True)[1] numbers anything."
        )
    if array.shape != (n,):
        raise ValueError(
            f"labels must be of shape ({n},), one per row of X, got shape {array.shape}."
        )
    return from_numpy(array.astype(np.int64, copy=False))


def holdout(n: int, fraction_or_count: float, *, seed: int) -> tuple[Tensor, Tensor]:
    r"""Draws which of :math:`n` samples are held out, a function of the seed only.

    Arguments:
        n: The number of samples.
        fraction_or_count: How many are held out: a float is a fraction in :math:`(0, 1)`,
            rounded, but at least one sample; an integer is their number.
        seed: The seed.

    Returns:
        The positions that are kept and those that are held out, both sorted.

    Raises:
        ValueError: If it would leave nothing on one side.

    Example:
        >>> kept, held_out = holdout(10, 0.2, seed=0)
        >>> len(kept), len(held_out)
        (8, 2)
    """

    if isinstance(fraction_or_count, Integral):
        count = int(fraction_or_count)
    else:
        if not 0 < fraction_or_count < 1:
            raise ValueError(
                f"fraction_or_count must lie in (0, 1) if it is a float, got {fraction_or_count}: "
                "give the number of samples as an integer."
            )
        count = max(1, round(n * fraction_or_count))
    if not 0 < count < n:
        raise ValueError(
            f"fraction_or_count must leave samples on both sides, got {count} to hold out of {n}."
        )
    order = torch.randperm(n, generator=stream(seed, "holdout"))
    return order[count:].sort().values, order[:count].sort().values


class Batch(NamedTuple):
    r"""A batch: samples :math:`(m, \dots)` in float32 and, if there are any, their labels."""

    x: Tensor
    labels: Tensor | None


class Batches(abc.ABC):
    r"""What training iterates over.

    A subclass sets :py:`shape`, the shape of one sample, and :py:`n`, the number of samples
    that an epoch shows.
    """

    shape: tuple[int, ...]
    n: int
    same_for_ranks: bool = True
    r"""Whether the parts of ranks make up the batches that one process has."""

    @abc.abstractmethod
    def __len__(self) -> int:
        r"""Returns the number of batches in an epoch."""

    @abc.abstractmethod
    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        r"""Iterates over the batches of an epoch, the same ones whenever it is asked for.

        Arguments:
            epoch: The number of the epoch, from 0.
            start: The number of the batch to begin at, from 0.
        """

    def size(self, i: int) -> int:
        r"""Returns the number of samples in batch i, of all ranks; here as if all were equal."""

        return self.n * (i + 1) // len(self) - self.n * i // len(self)

    def of_rank(self, rank: int, ranks: int) -> "Batches":
        r"""Returns the batches of which a rank reads its own rows.

        They are as many, and :py:`n` and the shape are those of the whole batches. Here these are
        read whole and cut; a subclass that can reads no more than it has to.

        Arguments:
            rank: The number of the rank, from 0.
            ranks: The number R of ranks.
        """

        return PartBatches(self, rank, ranks)


@final
class PartBatches(Batches):
    r"""A rank's rows of batches that are read whole.

    Arguments:
        batches: The batches.
        rank: The number of the rank, from 0.
        ranks: The number of ranks.

    Example:
        >>> batches = ArrayBatches(as_samples(np.zeros((10, 3))), batch_size=4)
        >>> [len(batch.x) for batch in PartBatches(batches, 1, ranks=3).epoch(0)]
        [1, 1, 1]
    """

    def __init__(self, batches: Batches, rank: int, ranks: int) -> None:
        self.batches, self.rank, self.ranks = batches, rank, ranks
        self.shape, self.n = batches.shape, batches.n

    def __len__(self) -> int:
        return len(self.batches)

    def size(self, i: int) -> int:
        return self.batches.size(i)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for x, labels in self.batches.epoch(epoch, start):
            own = None if labels is None else labels.tensor_split(self.ranks)[self.rank]
            yield Batch(x.tensor_split(self.ranks)[self.rank], own)


@final
class ArrayBatches(Batches):
    r"""Batches of samples, shuffled.

    The samples stay as they are, bytes as bytes; a batch is gathered, moved and only then cast.
    Of mapped samples the next batch is gathered meanwhile, for it may have to wait for the disk.

    Arguments:
        samples: The samples.
        batch_size: The number of samples in a batch.
        seed: The seed of the order.
        drop_last: Whether the last batch is left out if it is smaller.
        device: Where the batches are put. If :py:`None`, they stay where the samples are.

    Raises:
        ValueError: If there would be no batch.

    Example:
        >>> batches = ArrayBatches(as_samples(np.zeros((10, 3))), batch_size=4)
        >>> [len(batch.x) for batch in batches.epoch(0)]
        [4, 4, 2]
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        *,
        seed: int = 0,
        drop_last: bool = False,
        device: torch.device | str | None = None,
    ) -> None:
        check_batch_size(batch_size, len(samples), drop_last)
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.device = samples.array.device if device is None else torch.device(device)
        self.shape = samples.shape
        self.n = len(samples) - len(samples) % batch_size * drop_last
        self.rank, self.ranks = 0, 1

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def size(self, i: int) -> int:
        return min(self.batch_size, self.n - i * self.batch_size)

    def of_rank(self, rank: int, ranks: int) -> "ArrayBatches":
        alike = copy.copy(self)
        alike.rank, alike.ranks = rank, ranks
        return alike

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        chosen = self._gathered(epoch, start)
        for x, labels in one_ahead(chosen) if self.samples.mapped else chosen:
            labels = None if labels is None else labels.to(self.device)
            # Bytes are moved and cast there: a quarter of the traffic.
            yield Batch(to_float(x.to(self.device)), labels)

    def _gathered(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        order = epoch_order(len(self.samples), self.seed, epoch)[: self.n]
        for index in order.split(self.batch_size)[start:]:
            chosen = self.samples.select(index.tensor_split(self.ranks)[self.rank])
            yield chosen.x, chosen.labels


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """Has the next item made in a thread while one is used."""

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """Draws the permutation of an epoch."""

    return torch.randperm(n, generator=stream(seed, "order", epoch))


def check_batch_size(batch_size: int, n: int, drop_last: bool) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    if n < 1:
        raise ValueError("There must be at least one sample to make batches of, got none.")
    if drop_last and batch_size > n:
        raise ValueError(
            f"batch_size must be at most the number of samples, {n}, when the last batch is "
            f"dropped, got {batch_size}: lower it, or keep the last batch (drop_last=False)."
        )


@final
class LoaderBatches(Batches):
    r"""Batches of a map-style dataset or of a data loader, augmentation included.

    Items are :py:`x` or :py:`(x, label)`, where :py:`x` is a tensor or an array, channels
    first, or, from a dataset, a Pillow image. What they draw from torch's global generator,
    as an augmentation does, is a function of (seed, epoch) too: the generator is seeded while a
    batch is fetched and given back as it was before the batch is handed out. The same holds for
    the generators of the data loader and its sampler; a sampler with :py:`set_epoch` is told the
    epoch. Draws from NumPy or :mod:`random` are the item's own business.

    Arguments:
        data: The dataset or data loader.
        batch_size: The number of samples in a batch of a dataset. A data loader has its own.
        seed: The seed of the order and of the augmentation.
        drop_last: Whether the last batch of a dataset is left out if it is smaller.

    Raises:
        TypeError: If the data is neither, or its length is not known.
        ValueError: If the batch size is missing, or given twice, or there would be no batch.

    Example:
        >>> dataset = torch.utils.data.TensorDataset(torch.ones(10, 3), torch.arange(10))
        >>> batches = LoaderBatches(dataset, batch_size=5)
        >>> [batch.x.shape for batch in batches.epoch(0)]
        [torch.Size([5, 3]), torch.Size([5, 3])]
    """

    def __init__(
        self,
        data: DataLoader[Any] | Dataset[Any],
        batch_size: int | None = None,
        *,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if isinstance(data, DataLoader):
            if batch_size is not None or drop_last:
                raise ValueError(
                    "batch_size and drop_last must be left out with a data loader, which has its "
                    f"own, got {batch_size} and {drop_last}: give its dataset, or only the loader."
                )
            self.loader = data
        else:
            self.loader = dataset_loader(data, batch_size, seed, drop_last)
        self.seed = seed
        self.n = samples_per_epoch(self.loader)
        first = next(self._fetches(0), None)
        if first is None:
            raise ValueError("data must give at least one batch, got none: lower the batch size.")
        self.shape = tuple(first.x.shape[1:])

    def __len__(self) -> int:
        return len(self.loader)

    def size(self, i: int) -> int:
        each = self.loader.batch_size
        return super().size(i) if each is None else min(each, self.n - i * each)

    def of_rank(self, rank: int, ranks: int) -> "Batches":
        if getattr(self.loader.sampler, "num_replicas", 1) > 1:
            raise ValueError(
                "A data loader has to give whole batches, of which each rank takes its part, but "
                "its sampler shares them out already; give the dataset, or a loader without a "
                "DistributedSampler."
            )
        return super().of_rank(rank, ranks)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        # What is drawn for a batch follows those before, so they are fetched too.
        for number, batch in islice(enumerate(self._fetches(epoch)), start, None):
            if batch.x.shape[1:] != self.shape:
                raise DataError(
                    f"All samples must have one shape, got {self.shape} first and "
                    f"{tuple(batch.x.shape[1:])} in batch {number} of epoch {epoch}."
                )
            try:
                check_finite(batch.x)
            except DataError as error:
                raise DataError(f"In batch {number} of epoch {epoch}: {error}") from None
            yield batch

    def _fetches(self, epoch: int) -> Iterator[Batch]:
        generators = generators_of(self.loader)
        # Items draw from the global one; a loader or sampler that has its own, the order.
        purposes = ["augment", *["order"] * (len(generators) - 1)]
        states = [stream(self.seed, purpose, epoch).get_state() for purpose in purposes]
        with lent(generators, states):
            for sampler in samplers_of(self.loader):
                if hasattr(sampler, "set_epoch"):
                    sampler.set_epoch(epoch)
            items = watched(self.loader)
        while True:
            with lent(generators, states):  # not around the yield: the caller has its own
                item = next(items, None)
            if item is None:
                return
            yield as_batch(item)


def dataset_loader(
    data: Dataset[Any], batch_size: int | None, seed: int, drop_last: bool
) -> DataLoader[Any]:
    if not (hasattr(data, "__getitem__") and isinstance(data, Sized)):
        raise TypeError(
            "data must be a DataLoader or a dataset with __getitem__ and __len__, got "
            f"{type(data).__name__}: wrap it in one of them."
        )
    if batch_size is None:
        raise ValueError("batch_size must be given with a dataset, got None.")
    check_batch_size(batch_size, len(data), drop_last)
    order = EpochOrder(len(data), seed)
    return DataLoader(data, batch_size, sampler=order, drop_last=drop_last, collate_fn=collate)


def in_order(data: Dataset[Any], size: int) -> Samples:
    r"""Reads the samples of a map-style dataset, one after the other.

    Arguments:
        data: The dataset, whose items are as :class:`LoaderBatches` wants them.
        size: The number of samples that are fetched at once.

    Raises:
        TypeError: If the dataset has no length or no items by number.
    """

    if not (hasattr(data, "__getitem__") and isinstance(data, Sized)):
        raise TypeError(
            f"A dataset must have __getitem__ and __len__, which {type(data).__name__} has not."
        )
    batches = [as_batch(item) for item in DataLoader(data, size, collate_fn=collate)]
    if not batches:
        raise ValueError("The dataset must hold at least one sample, but is empty.")
    return as_samples(torch.cat([batch.x for batch in batches]))


@final
class EpochOrder(Sampler[int]):
    """The order that `ArrayBatches` has."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self.n, self.seed, self.epoch).tolist())


@contextmanager
def lent(generators: Sequence[torch.Generator], states: list[Tensor]) -> Iterator[None]:
    """Puts generators into states and back; the states are then where the generators got to."""

    before = [generator.get_state() for generator in generators]
    set_states(generators, states)
    try:
        yield
    finally:
        states[:] = [generator.get_state() for generator in generators]
        set_states(generators, before)


def set_states(generators: Sequence[torch.Generator], states: Sequence[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def generators_of(loader: DataLoader[Any]) -> list[torch.Generator]:
    """Lists what a loader draws from, torch's global generator first."""

    found = [torch.default_generator]
    for source in (loader, *samplers_of(loader)):
        generator = getattr(source, "generator", None)
        if generator is not None and not any(generator is other for other in found):
            found.append(generator)
    return found


def samplers_of(loader: DataLoader[Any]) -> tuple[Any, ...]:
    batches = loader.batch_sampler
    return loader.sampler, batches, getattr(batches, "sampler", None)


def samples_per_epoch(loader: DataLoader[Any]) -> int:
    try:
        len(loader)
        # A sampler may show more or less than the data set; streams and ready batches have none.
        plain = loader.batch_size is not None and not isinstance(loader.dataset, IterableDataset)
        n = len(cast(Sized, loader.sampler if plain else loader.dataset))
    except TypeError as error:
        raise TypeError(
            f"data must have a length, got a data loader over {type(loader.dataset).__name__}, "
            "which has none: give it a __len__, or use a map-style dataset."
        ) from error
    return n if loader.batch_size is None else n - n % loader.batch_size * loader.drop_last


def collate(items: Sequence[object]) -> tuple[Tensor, object]:
    """Stacks items as torch does, Pillow images and labels that are not there included."""

    xs, labels = zip(*(as_pair(item) for item in items), strict=True)
    shapes = {tuple(x.shape) for x in xs}
    if len(shapes) > 1:
        raise DataError(
            f"All samples must have one shape, got {' and '.join(map(str, sorted(shapes)[:2]))}: "
            "resize or crop them in the dataset."
        )
    return torch.stack(xs), None if labels[0] is None else np.asarray(labels)


def as_batch(item: object) -> Batch:
    """Brings what a loader yields under the contract."""

    x, labels = as_pair(item)
    if x.ndim < 2:
        raise ValueError(f"x must have at least one axis in an item, got shape {x.shape[1:]}.")
    return Batch(to_float(x), None if labels is None else as_labels(labels, len(x)))


def as_pair(item: object) -> tuple[Tensor, object]:
    x, label = item, None
    if isinstance(item, tuple | list) and len(item) in (1, 2):
        x, label = item if len(item) == 2 else (item[0], None)
    if isinstance(x, Image.Image):
        x = images.to_array(x)
    if isinstance(x, np.ndarray):
        x = from_numpy(x)
    if not isinstance(x, Tensor):
        raise TypeError(
            "Items must be x or (x, label), x a tensor, an array or a Pillow image, got "
            f"{type(x).__name__}: wrap the dataset in one whose items are."
        )
    return x, label

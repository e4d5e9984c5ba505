r"""Anything a user has, as batches under one contract.

A source is read once into `Samples`: a tensor :math:`x` of shape :math:`(n, \dots)`, channels
first, :math:`(n, c, h, w)` for images and :math:`(n, d)` for vectors, in one of two types. Bytes
stay bytes in memory, a quarter of the size, and stand for :math:`x / 255 \in [0, 1]`;
everything else is float32 and taken as it is. What is read is finite, or it is not read.

Training sees `Batches`: float32, always. The batches of an epoch are a function of
(seed, epoch) alone,

.. math:: (s, t) \;\mapsto\; \pi_{s,t} \in S_n, \qquad
    (x_{\pi(1)}, \dots, x_{\pi(m)}), \; (x_{\pi(m+1)}, \dots, x_{\pi(2m)}), \; \dots

so a run that is resumed at epoch :math:`t` sees what it would have seen, and neither torch's
nor NumPy's global generator is touched.
"""

__all__ = [
    "SOURCES",
    "ArrayBatches",
    "Batch",
    "Batches",
    "DataError",
    "LoaderBatches",
    "Samples",
    "as_samples",
    "check_finite",
    "holdout",
    "load",
    "to_float",
]

import abc
import dataclasses
import difflib
import gzip
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, cast, final

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from swae import images
from swae.images import DataError
from swae.seeding import stream

Split = Literal["train", "test"]

HELD_OUT = 0.2


# ----- samples


@final
@dataclass(frozen=True, eq=False)
class Samples:
    r"""Samples in memory, what every source becomes.

    Arguments:
        x: The samples, :math:`(n, \dots)`, uint8 or float32, channels first.
        labels: The labels, :math:`(n,)`, int64, if there are any.
        rejected: The files that could not be read, as pairs of path and reason.

    Example:
        >>> samples = Samples(torch.zeros(5, 1, 8, 8, dtype=torch.uint8))
        >>> len(samples), samples.shape
        (5, (1, 8, 8))
    """

    x: Tensor
    labels: Tensor | None = None
    rejected: tuple[tuple[str, str], ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        r"""The shape of one sample."""

        return tuple(self.x.shape[1:])

    def __len__(self) -> int:
        return len(self.x)

    def select(self, index: Tensor) -> "Samples":
        r"""Returns the samples at an index.

        Arguments:
            index: The positions, int64, or a mask, bool.
        """

        if index.dtype == torch.bool:
            index = index.nonzero().flatten()
        index = index.to(self.x.device)
        # index_select copies whole rows: several times faster than x[index] for images.
        labels = None if self.labels is None else self.labels.index_select(0, index)
        return dataclasses.replace(self, x=self.x.index_select(0, index), labels=labels)


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


def check_finite(x: Tensor) -> None:
    r"""Refuses NaN and infinity.

    Arguments:
        x: The samples, :math:`(n, \dots)`.

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
        f"X must be finite in float32, but {len(bad)} of its {len(x)} rows hold NaN or infinity, "
        f"the first of them row {int(bad[0])}: repair or remove them."
    )


def as_samples(X: object, labels: object = None) -> Samples:
    r"""Brings an array under the contract, without a copy where it is there already.

    Bytes are kept, other integers and other floating types become float32.

    Arguments:
        X: The samples, a NumPy array or a tensor of shape :math:`(n, \dots)`, channels first.
        labels: The labels, :math:`(n,)`, integers. If :py:`None`, there are none.

    Raises:
        TypeError: If :py:`X` is not a dense array of real numbers.
        ValueError: If :py:`X` is empty or has less than two axes, or if the labels are not
            :math:`n` integers.
        DataError: If a value is not finite.

    Example:
        >>> as_samples(np.ones((3, 2)), [0, 1, 0]).x.dtype
        torch.float32
    """

    x = _tensor(X)
    if x.ndim < 2:
        raise ValueError(
            f"X must have a row per sample, (n, d) or (n, c, h, w), got shape {tuple(x.shape)}: "
            "reshape one sample with X.reshape(1, -1), one feature with X.reshape(-1, 1)."
        )
    if x.numel() == 0:
        raise ValueError(f"X must hold at least one value, got shape {tuple(x.shape)}.")
    check_finite(x)
    return Samples(x, None if labels is None else _labels(labels, len(x)).to(x.device))


def _tensor(X: object) -> Tensor:
    """Casts to uint8 or float32 what holds real numbers."""

    if isinstance(X, Tensor):
        if X.layout != torch.strided:
            raise TypeError(
                f"X must be dense, got a sparse tensor ({X.layout}): use X.to_dense()."
            )
        if X.dtype == torch.bool or X.dtype.is_complex:
            raise _wrong_type(X.dtype)
        return X.detach() if X.dtype == torch.uint8 else X.detach().to(torch.float32)
    if not hasattr(X, "__array__"):
        sparse = hasattr(X, "toarray")
        raise TypeError(
            f"X must be a {'dense ' if sparse else ''}NumPy array or tensor, got "
            f"{type(X).__name__}: use {'X.toarray()' if sparse else 'np.asarray(X)'}."
        )
    array = np.asarray(X)
    if array.dtype.kind not in "uif":
        raise _wrong_type(array.dtype)
    if array.dtype == np.uint8:
        return _from_numpy(array)
    with np.errstate(over="ignore"):  # what overflows is refused as infinite, with its row
        return _from_numpy(array.astype(np.float32, copy=False))


def _wrong_type(dtype: object) -> TypeError:
    return TypeError(
        f"X must hold real numbers (uint8, another integer or floating type), got {dtype}: "
        "cast it to the one that is meant, as X.astype('float32')."
    )


def _from_numpy(array: NDArray[Any]) -> Tensor:
    """Shares memory where torch can: not read-only, in the native order, strides positive."""

    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    shared = native.flags.writeable and native.flags.c_contiguous
    return torch.from_numpy(native if shared else np.array(native, order="C"))


def _labels(labels: object, n: int) -> Tensor:
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
    return _from_numpy(array.astype(np.int64, copy=False))


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


# ----- batches


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

    @abc.abstractmethod
    def __len__(self) -> int:
        r"""Returns the number of batches in an epoch."""

    @abc.abstractmethod
    def epoch(self, epoch: int) -> Iterator[Batch]:
        r"""Iterates over the batches of an epoch, the same ones whenever it is asked for.

        Arguments:
            epoch: The number of the epoch, from 0.
        """


@final
class ArrayBatches(Batches):
    r"""Batches of samples in memory, shuffled.

    The samples stay as they are, bytes as bytes; a batch is gathered, moved and only then cast.

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
        _check_batch_size(batch_size, len(samples), drop_last)
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.device = samples.x.device if device is None else torch.device(device)
        self.shape = samples.shape
        self.n = len(samples) - len(samples) % batch_size * drop_last

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        order = _order(len(self.samples), self.seed, epoch)[: self.n]
        for start in range(0, self.n, self.batch_size):
            index = order[start : start + self.batch_size]
            chosen = self.samples.select(index)
            labels = None if chosen.labels is None else chosen.labels.to(self.device)
            # Bytes are moved and cast there: a quarter of the traffic.
            yield Batch(to_float(chosen.x.to(self.device)), labels)


def _order(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=stream(seed, "order", epoch))


def _check_batch_size(batch_size: int, n: int, drop_last: bool) -> None:
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
            self.loader = _loader(data, batch_size, seed, drop_last)
        self.seed = seed
        self.n = _samples_per_epoch(self.loader)
        first = next(self._fetches(0), None)
        if first is None:
            raise ValueError("data must give at least one batch, got none: lower the batch size.")
        self.shape = tuple(first.x.shape[1:])

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        for number, batch in enumerate(self._fetches(epoch)):
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
        lent = _Lent(self.loader, self.seed, epoch)
        with lent:
            for sampler in _samplers(self.loader):
                if hasattr(sampler, "set_epoch"):
                    sampler.set_epoch(epoch)
            items = iter(self.loader)
        while True:
            with lent:  # around each fetch and no yield, between which the generators go back
                item = next(items, None)
            if item is None:
                return
            yield _batch(item)


def _loader(
    data: Dataset[Any], batch_size: int | None, seed: int, drop_last: bool
) -> DataLoader[Any]:
    if not (hasattr(data, "__getitem__") and isinstance(data, Sized)):
        raise TypeError(
            "data must be a DataLoader or a dataset with __getitem__ and __len__, got "
            f"{type(data).__name__}: wrap it in one of them."
        )
    if batch_size is None:
        raise ValueError("batch_size must be given with a dataset, got None.")
    _check_batch_size(batch_size, len(data), drop_last)
    order = _Order(len(data), seed)
    return DataLoader(data, batch_size, sampler=order, drop_last=drop_last, collate_fn=_collate)


class _Order(Sampler[int]):
    """The order that `ArrayBatches` has."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        return iter(_order(self.n, self.seed, self.epoch).tolist())


class _Lent:
    """Generators that are ours within a `with`, from where we left them, and else as they were."""

    def __init__(self, loader: DataLoader[Any], seed: int, epoch: int) -> None:
        own = [getattr(source, "generator", None) for source in (loader, *_samplers(loader))]
        orders = {id(generator): generator for generator in own if generator is not None}
        orders.pop(id(torch.default_generator), None)
        self.generators = [torch.default_generator, *orders.values()]
        self.states = [
            stream(seed, "augment", epoch).get_state(),
            *(stream(seed, "order", epoch).get_state() for _ in orders),
        ]

    def __enter__(self) -> Self:
        self._swap()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._swap()

    def _swap(self) -> None:
        for i, generator in enumerate(self.generators):
            state = generator.get_state()
            generator.set_state(self.states[i])
            self.states[i] = state


def _samplers(loader: DataLoader[Any]) -> tuple[Any, ...]:
    batches = loader.batch_sampler
    return loader.sampler, batches, getattr(batches, "sampler", None)


def _samples_per_epoch(loader: DataLoader[Any]) -> int:
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


def _collate(items: Sequence[object]) -> tuple[Tensor, object]:
    """Stacks items as torch does, Pillow images and labels that are not there included."""

    xs, labels = zip(*(_pair(item) for item in items), strict=True)
    shapes = {tuple(x.shape) for x in xs}
    if len(shapes) > 1:
        raise DataError(
            f"All samples must have one shape, got {' and '.join(map(str, sorted(shapes)[:2]))}: "
            "resize or crop them in the dataset."
        )
    return torch.stack(xs), None if labels[0] is None else np.asarray(labels)


def _batch(item: object) -> Batch:
    """Brings what a loader yields under the contract."""

    x, labels = _pair(item)
    if x.ndim < 2:
        raise ValueError(f"x must have at least one axis in an item, got shape {x.shape[1:]}.")
    return Batch(to_float(x), None if labels is None else _labels(labels, len(x)))


def _pair(item: object) -> tuple[Tensor, object]:
    x, label = item, None
    if isinstance(item, tuple | list) and len(item) in (1, 2):
        x, label = item if len(item) == 2 else (item[0], None)
    if isinstance(x, Image.Image):
        x = images.to_array(x)
    if isinstance(x, np.ndarray):
        x = _from_numpy(x)
    if not isinstance(x, Tensor):
        raise TypeError(
            "Items must be x or (x, label), x a tensor, an array or a Pillow image, got "
            f"{type(x).__name__}: wrap the dataset in one whose items are."
        )
    return x, label


# ----- sources


def load(
    source: str | Path,
    split: Split = "train",
    *,
    data_dir: str | Path | None = None,
    seed: int = 0,
    image_size: int | None = None,
) -> Samples:
    r"""Reads a source.

    | source                     | what is read                                                |
    |----------------------------|-------------------------------------------------------------|
    | `"digits"`                 | scikit-learn's 8 x 8 digits                                 |
    | `"mnist"`                  | MNIST, from its IDX files, else from the Hugging Face hub   |
    | `"fashion-mnist"`          | Fashion-MNIST, likewise                                     |
    | a folder                   | its images; at least two sub-folders are classes            |
    | a file `.npy`              | an array, :math:`(n, \dots)`                                |
    | a file `.npz`              | array `x`, labels `y`; `x_test`, `y_test` if there are any  |

    Where a source has no test split of its own, one in five samples is held out, drawn by the
    seed. A folder has one if it has sub-folders `train` and `test`, an archive if it has `x_test`.
    The names win over files of the same name; write `./digits` for a folder.

    Arguments:
        source: The name, folder or file.
        split: The split, train or test.
        data_dir: The folder where the IDX files lie. If :py:`None`, the environment variable
            `SWAE_DATA` names it.
        seed: The seed of the held-out samples.
        image_size: The side to which the images of a folder are resized, without cropping.

    Raises:
        ValueError: If there is no such source or split.
        DataError: If the source cannot be found, read, or brought under the contract.

    Example:
        >>> load("digits").x.shape
        torch.Size([1438, 1, 8, 8])
    """

    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}.")
    named = str(source) in SOURCES and not (isinstance(source, Path) and source.exists())
    path = Path(source).expanduser()
    if not named and os.path.isdir(path):
        return _folder(path, split, seed, image_size)
    if image_size is not None:
        raise ValueError(f"image_size must be left out unless source is a folder, got {source!r}.")
    if named:
        return SOURCES[str(source)](split, None if data_dir is None else Path(data_dir), seed)
    if os.path.isfile(path) and path.suffix.lower() in _FILES:
        return _FILES[path.suffix.lower()](path, split, seed)
    raise _no_such_source(source)


def _no_such_source(source: str | Path) -> ValueError:
    near = difflib.get_close_matches(str(source).lower(), SOURCES, n=1)
    state = "is none of these" if os.path.lexists(source) else "does not exist"
    return ValueError(
        f"source must be {', '.join(map(repr, SOURCES))}, a folder of images, or a .npy or .npz "
        f"file, got {str(source)!r}, which {state}."
        + (f" Did you mean {near[0]!r}?" if near else " Check the spelling.")
    )


def _part(samples: Samples, split: Split, seed: int) -> Samples:
    """Takes one side of the split that is drawn where a source has none."""

    if len(samples) < 2:
        raise DataError("There must be at least 2 samples to hold one out for the test, got 1.")
    kept, held_out = holdout(len(samples), HELD_OUT, seed=seed)
    return samples.select(kept if split == "train" else held_out)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Names the file in whatever goes wrong while it is read."""

    try:
        yield
    except DataError:
        raise
    # A corrupt or hostile file can make a parser raise nearly anything, and announce so large an
    # array that memory is the first to refuse.
    except Exception as error:
        reason = f"{error}".strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"{path} cannot be read ({reason}): replace it by an intact one."
        ) from error


def _samples(path: Path, X: object, labels: object) -> Samples:
    """Brings what a file holds under the contract, and names the file if that fails."""

    try:
        return as_samples(X, labels)
    except (TypeError, ValueError) as error:
        raise DataError(f"In {path}: {error}") from error


# -- images, arrays, digits


def _folder(path: Path, split: Split, seed: int, image_size: int | None) -> Samples:
    own = all((path / name).is_dir() for name in ("train", "test"))
    x, files, rejected = images.read_folder(path / split if own else path, image_size)
    samples = Samples(x, images.classes(files), rejected)
    return samples if own else _part(samples, split, seed)


def _npy(path: Path, split: Split, seed: int) -> Samples:
    with _reading(path):
        # Mapped first, because then a header that announces more than the file holds is refused.
        mapped = npy.open_memmap(path, mode="r")
    return _part(_samples(path, mapped, None), split, seed)


def _npz(path: Path, split: Split, seed: int) -> Samples:
    with _reading(path), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        own = "x_test" in names
        keys = ("x_test", "y_test") if own and split == "test" else _keys(path, names)
        x, y = (_member(archive, key) if key in names else None for key in keys)
    samples = _samples(path, x, y)
    return samples if own else _part(samples, split, seed)


def _keys(path: Path, names: Sequence[str]) -> tuple[str, str]:
    x = [name for name in ("x", "X", "images", "x_train") if name in names]
    y = [name for name in ("y", "labels", "y_train") if name in names]
    if not x and len(names) == 1:
        x = list(names)
    if not x:
        raise DataError(
            f"{path} must hold an array 'x', 'X', 'images' or 'x_train', or only one, got "
            f"{', '.join(map(repr, names)) or 'none'}: save it with np.savez(path, x=X, y=labels)."
        )
    return x[0], y[0] if y else "y"


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


def _digits(split: Split, data_dir: Path | None, seed: int) -> Samples:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = np.rint(pixels.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return _part(as_samples(x, labels), split, seed)


# -- IDX, the format of MNIST


@final
@dataclass(frozen=True)
class _Mnist:
    """Where a data set in the form of MNIST may lie."""

    name: str
    torchvision: str
    hub: str
    package: Path | None = None

    def read(self, split: Split, data_dir: Path | None, seed: int) -> Samples:
        found = self.find(split, data_dir)
        return self.download(split, data_dir) if found is None else _read_mnist(*found)

    def folders(self, data_dir: Path | None) -> list[Path]:
        r"""Lists where to look, the data set's own folders first."""

        root = data_dir or (Path(os.environ["SWAE_DATA"]) if "SWAE_DATA" in os.environ else None)
        below = (self.name, f"{self.name}/raw", f"{self.torchvision}/raw", "")
        folders = [] if root is None else [root.expanduser() / folder for folder in below]
        return folders + _package_folders(self.package)

    def find(self, split: Split, data_dir: Path | None) -> tuple[Path, Path] | None:
        r"""Finds the files of the images and of the labels, in one folder."""

        for folder in self.folders(data_dir):
            paths = [
                next((folder / name for name in names if os.path.isfile(folder / name)), None)
                for names in _idx_names(split)
            ]
            if paths[0] is not None and paths[1] is not None:
                return paths[0], paths[1]
        return None

    def download(self, split: Split, data_dir: Path | None) -> Samples:
        r"""Reads from the Hugging Face hub, if its library and a network are there."""

        try:
            from datasets import load_dataset

            table = load_dataset(self.hub, split=split)
            x = np.stack([np.asarray(image) for image in table["image"]])[:, None]
            return as_samples(x, table["label"])
        except ImportError:
            raise self.missing(split, data_dir, "is not installed") from None
        # No network, a proxy, a full disk: the library lets the errors of a dozen others pass.
        except Exception as error:
            raise self.missing(split, data_dir, f"failed with {type(error).__name__}") from error

    def missing(self, split: Split, data_dir: Path | None, reason: str) -> DataError:
        r"""Says which files to put where."""

        wanted = " and ".join(names[0] for names in _idx_names(split))
        folders = ", ".join(map(str, self.folders(data_dir))) or "no folder, as none was given"
        return DataError(
            f"{self.name} was not found (looked in {folders}; the library `datasets` {reason}): "
            f"put {wanted} into a folder and name it with --data-dir (data_dir=...) "
            "or $SWAE_DATA, or `pip install 'swae[hub]'` to download them."
        )


def _package_folders(package: Path | None) -> list[Path]:
    """Asks Debian's list of a package's files where it lies."""

    if package is None or not package.is_file():
        return []
    files = map(Path, package.read_text().splitlines())
    return sorted({file.parent for file in files if file.name.startswith("train-images")})


def _idx_names(split: Split) -> tuple[list[str], list[str]]:
    """The names that the images and the labels go by, the original ones first."""

    prefix = {"train": "train", "test": "t10k"}[split]
    images_names, labels_names = (
        [f"{prefix}-{kind}{dot}{form}-ubyte{suffix}" for dot in "-." for suffix in (".gz", "")]
        for kind, form in (("images", "idx3"), ("labels", "idx1"))
    )
    return images_names, labels_names


def _read_mnist(images_path: Path, labels_path: Path) -> Samples:
    x, labels = _read_idx(images_path, ndim=3), _read_idx(labels_path, ndim=1)
    if x.shape[1:] != (28, 28):
        raise DataError(f"{images_path} must hold images of 28 x 28, got {tuple(x.shape[1:])}.")
    if len(x) != len(labels):
        raise DataError(
            f"{images_path} holds {len(x)} images, but {labels_path} {len(labels)} labels: "
            "replace them by files that belong together."
        )
    return as_samples(x[:, None], labels)


def _read_idx(path: Path, ndim: int) -> Tensor:
    """Reads bytes in IDX form, gzipped or not: magic 0, 0, 8, ndim; the sizes; the values."""

    with _reading(path), open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file: gzip.GzipFile | BufferedReader = gzip.GzipFile(fileobj=raw) if zipped else raw
        header = file.read(4 + 4 * ndim)
        if header[:4] != bytes((0, 0, 8, ndim)) or len(header) < 4 + 4 * ndim:
            raise DataError(
                f"{path} must be an IDX file of bytes with {ndim} axes, which starts with "
                f"00 00 08 {ndim:02x}, got {header[:4].hex(' ') or 'nothing'}: replace it by the "
                "original."
            )
        shape = struct.unpack(f">{ndim}I", header[4:])
        values = _read_at_most(file, math.prod(shape) + 1)
        if len(values) != math.prod(shape) or not values:
            more = "more" if len(values) > math.prod(shape) else f"{len(values)}"
            raise DataError(
                f"{path} announces {' x '.join(map(str, shape))} values, got {more}: replace it "
                "by the original."
            )
    return torch.frombuffer(values, dtype=torch.uint8).reshape(shape)


def _read_at_most(file: gzip.GzipFile | BufferedReader, size: int) -> bytearray:
    """Reads by pieces, because a header may announce what no memory holds."""

    values = bytearray()
    while piece := file.read(min(size - len(values), 1 << 20)):
        values += piece
    return values


SOURCES: dict[str, Callable[[Split, Path | None, int], Samples]] = {
    "digits": _digits,
    "mnist": _Mnist("mnist", "MNIST", "ylecun/mnist").read,
    "fashion-mnist": _Mnist(
        "fashion-mnist",
        "FashionMNIST",
        "zalando-datasets/fashion_mnist",
        Path("/var/lib/dpkg/info/dataset-fashion-mnist.list"),
    ).read,
}
_FILES: dict[str, Callable[[Path, Split, int], Samples]] = {".npy": _npy, ".npz": _npz}

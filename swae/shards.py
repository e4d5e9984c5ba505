r"""Data in shards, read as they come: more of them than memory or disk cache could hold.

A folder holds shards, Parquet files or tar archives in the form of WebDataset, which the library
`datasets` streams. Nothing of them is kept but how many rows each has. The rows of shards
:math:`1, \dots, S` in their order are a sequence of :math:`N`; what an epoch :math:`t` shows is

.. math:: (s, t) \;\mapsto\; \pi_{s,t} \in S_S \quad \text{(the order of the shards)} , \qquad
    (s, t, b) \;\mapsto\; \pi_{s,t,b} \in S_W \quad \text{(of the rows of block } b \text{)} .

The sequence is that of the shards in the order :math:`\pi_{s,t}`. It is cut into blocks of
:math:`W` rows, what memory takes, each of which is shuffled by itself, and then into batches. So
rows that lie together in a shard meet in batches, unless they are mixed up beforehand or
:math:`W` is large. In return each position is a function of seed and epoch: a run goes on at any
batch, and opens the shard that it lies in and none before.

**Ranks.** Of a batch of :math:`m` rows rank :math:`r < R` has
:math:`m_r = \lfloor m / R \rfloor` or one more, as everywhere (:mod:`swae.data`); of an epoch its
:math:`n_r = \sum m_r` rows are a part of the sequence, the one after rank :math:`r - 1`'s. The
parts are disjoint and all of it. Only a shard across a border is read by two ranks, each of which
leaves the other's rows out, so shards may be fewer than ranks.

A sample is what it is for `datasets:FOLDER` (:mod:`swae.hub`). Labels are whole numbers. What
can't be read is not left out, for nobody has seen all rows before: it is refused with its number.
"""

__all__ = [
    "PREFIX",
    "Rows",
    "ShardBatches",
    "Shards",
    "from_anywhere",
    "has_test",
    "is_ours",
    "load",
]

import bisect
import copy
import dataclasses
import glob
import hashlib
import itertools
import math
import tarfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from . import hub
from .columns import check_names, tell_left_out, whole
from .data import Batch, Batches, DataError, Samples, check_batch_size, check_resolved, to_float
from .images import Framing
from .reading import first_line, reading
from .seeding import stream

PREFIX = "shards:"

BLOCK_ROWS, BLOCK_BYTES = 10_000, 2**26
r"""The rows of a block that is shuffled, and the bytes that they take, at most."""

TOGETHER = 256
r"""The rows that are read at once."""

SPREAD = 16
r"""The shards that samples from all over come from, at most."""

NO_LABELS = torch.zeros(0, dtype=torch.int64)
r"""The labels of no rows, of which a rank has some batches."""

BLOCK = tarfile.BLOCKSIZE
r"""What the members of an archive are whole blocks of, in bytes."""

END_BYTES = 2**16
r"""The bytes at the end of a shard by which it is known."""

MEMBER_BYTES = 2**26
r"""The size of a member of an archive, at most."""

UNPACKED = ("npz", "pth", "pt", "pkl", "pickle", "pyd", "gz", "bz2", "xz", "lz4", "zst", "zip")
r"""The suffixes of members that may be larger than they look, or are none of the data."""

FORMATS = {".parquet": "parquet", ".tar": "webdataset"}
r"""What shards are, by their suffix, and what the library calls it."""


def is_ours(source: str | Path) -> bool:
    r"""Tells whether a source is a folder of shards.

    Example:
        >>> is_ours("shards:/data"), is_ours("datasets:/data")
        (True, False)
    """

    return str(source).startswith(PREFIX)


def from_anywhere(source: str) -> str:
    r"""Returns a source such that it means the same from every folder.

    Example:
        >>> from_anywhere("shards:/data")
        'shards:/data'
    """

    return source if source == PREFIX else f"{PREFIX}{folder_of(source).absolute()}"


def load(
    source: str,
    split: Literal["train", "test", "all"],
    *,
    share: float,
    seed: int,
    image_size: int | None = None,
    crop: int | None = None,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
) -> "Shards":
    r"""Opens a split of ``shards:FOLDER``.

    Arguments:
        source: The folder, with the prefix. Where it has folders ``train`` and ``test``, these
            are the splits; else a share of the shards is held out for the test.
        split: The split.
        share: That share.
        seed: The seed by which it is drawn.
        image_size: As for :meth:`Shards.open`.
        crop: Likewise.
        label_column: Likewise.
        columns: Likewise.

    Raises:
        ValueError: If there is no such folder or column, there is a single shard to draw from, or
            all is asked of a folder with both splits.
        DataError: If a shard can't be read.
    """

    if source == PREFIX:
        raise ValueError(f"source must be {PREFIX}FOLDER, but nothing follows.")
    folder, own = folder_of(source), has_test(source)
    if own and split == "all":
        raise ValueError(
            f"split must be 'train' or 'test' where a source has both, as {source!r}, got "
            "'all': take one after the other."
        )
    shards = Shards.open(
        folder / split if own else folder,
        image_size=image_size,
        crop=crop,
        label_column=label_column,
        columns=columns,
    )
    if own or split == "all":
        return shards
    train, test = shards.hold_out(share, seed)
    return train if split == "train" else test


def folder_of(source: str | Path) -> Path:
    return Path(str(source).removeprefix(PREFIX)).expanduser()


def has_test(source: str | Path) -> bool:
    r"""Tells whether a folder has shards for the test: it has two folders, train and test."""

    return all((folder_of(source) / name).is_dir() for name in ("train", "test"))


class Part(NamedTuple):
    r"""Rows that were read together, and their labels, if they have any."""

    x: Tensor
    labels: Tensor | None

    def taken(self, index: slice | Tensor) -> "Part":
        r"""Returns some of the rows."""

        return Part(self.x[index], None if self.labels is None else self.labels[index])


@final
@dataclass(frozen=True, eq=False)
class Shards:
    r"""Samples in shards. They are read when they are asked for, in order, and not kept.

    It stands for :class:`swae.data.Samples` wherever these are gone through once:
    :meth:`swae.SWAE.fit`, ``transform``, ``score`` and ``evaluate`` take it.

    Arguments:
        files: The shards.
        rows: The number of rows of each.
        sizes: The bytes of each.
        features: The columns that are features; the image alone where there is one.
        label: The column of labels, if there is one.
        picture: Whether the features are an image.
        framing: What is cut out of images.
        shape: The shape of one sample.
        dtype: The type of the samples, uint8 or float32.
        columns: The names of the features, where a sample is a row of numbers.
        labels: The class of each row, where somebody asked (:meth:`with_labels`); of other
            shards only the batches have labels.
        classes: The names of the classes, where the shards tell them.
        rejected: Nothing is left out.
        flat: Whether rows are stored flat, and have the shape that was asked for.
        known: The least and the greatest value of shards that were read for these; shared by all
            that are made of one opening.

    Example:
        >>> shards = Shards.open("faces")  # doctest: +SKIP
        >>> model = SWAE(max_epochs=3).fit(shards)  # doctest: +SKIP
    """

    files: tuple[Path, ...]
    rows: tuple[int, ...]
    sizes: tuple[int, ...]
    features: tuple[str, ...]
    label: str | None = None
    picture: bool = False
    framing: Framing | None = None
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    columns: tuple[str, ...] | None = None
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    flat: bool = False
    known: dict[Path, tuple[float, float]] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        image_size: int | None = None,
        crop: int | None = None,
        label_column: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> "Shards":
        r"""Finds the shards of a folder, counts their rows and reads the first few.

        Arguments:
            folder: The folder, whose ``.parquet`` files are the shards, or its ``.tar`` files.
            image_size: The side to which images are resized.
            crop: The side of the square that is cut out of their middle before.
            label_column: The column that holds the labels, whole numbers; the only `ClassLabel`,
                or ``cls`` of an archive, if :py:`None`. ``""`` for none.
            columns: The columns that are features; all but the labels if :py:`None`.

        Raises:
            ValueError: If the library is not installed, there is no such folder or column.
            DataError: If there is no shard, one can't be read, or they have no samples.
        """

        framing = Framing(image_size, crop)
        framing.check()
        counted = [(file, count(file)) for file in shards_in(Path(folder).expanduser())]
        # Empty ones have nothing to read, and the library can't.
        files = tuple(file for file, n in counted if n)
        rows = tuple(n for _, n in counted if n)
        if not files:
            raise DataError(f"The shards of {folder} must have a row, got none.")
        with hub.broken(f"{PREFIX}{folder}"):
            found = streamed(files).features
        names = [name for name in found if not name.startswith("__")]
        check_names(f"{PREFIX}{folder}", names, columns, label_column or None)
        label = label_of(found, columns) if label_column is None else label_column or None
        wanted = [name for name in columns or names if name != label]
        picture = hub.picture_in(f"{PREFIX}{folder}", found, wanted, columns)
        if picture is None and framing != Framing():
            raise ValueError(f"image_size and crop must be left out: {folder} holds no images.")
        kept = [picture] if picture else [n for n in wanted if is_feature(found, n, columns)]
        left = [name for name in wanted if name not in kept]
        if not kept or (columns is not None and left):
            raise DataError(
                f"{PREFIX}{folder} has to hold a column of images or numbers, but holds none "
                f"beside {', '.join(map(repr, left)) or 'the labels'}."
            )
        tell_left_out(Path(folder), left)
        if files[0].suffix == ".parquet":
            check_alike(files, [*kept, *([label] if label else [])])
            check_first(files[0], kept)
        kinds = [found[name] for name in kept]
        array = len(kept) == 1 and not picture and hub.is_array(kinds[0])
        whole_bytes = picture or (array and hub.entry_of(kinds[0]).dtype == "uint8")
        opened = cls(
            files,
            rows,
            tuple(file.stat().st_size for file in files),
            tuple(kept),
            label,
            picture is not None,
            framing,
            dtype=torch.uint8 if whole_bytes else torch.float32,
            # The entries of an array have no names of their own.
            columns=None if picture or any(map(hub.is_array, kinds)) else tuple(kept),
            classes=tuple(getattr(found[label], "names", ())) if label else (),
        )
        shape = next(opened.parts(0, min(TOGETHER, len(opened)))).x.shape[1:]
        return dataclasses.replace(opened, shape=tuple(shape))

    def __len__(self) -> int:
        return sum(self.rows)

    @property
    def row_bytes(self) -> int:
        r"""The bytes of one sample."""

        return math.prod(self.shape) * self.dtype.itemsize

    def fingerprint(self) -> str:
        r"""Returns a sum of the shards' names, sizes, rows and ends, not of all that is in them.

        At the end of a Parquet file stand the least and the greatest value of each group of rows.
        """

        ends = [end_of(file) for file in self.files]
        names = [file.name for file in self.files]
        facts = [*zip(names, self.sizes, self.rows, ends, strict=True)]
        return hashlib.sha256(f"{facts}{self.features}{self.shape}".encode()).hexdigest()

    def chunks(self, size: int) -> Iterator[Tensor]:
        r"""Iterates over the samples in their order, so many at a time."""

        for part in cut(self.parts(0, len(self)), itertools.repeat(size)):
            yield part.x

    def blocks(self, size: int | None = None) -> Iterator[Tensor]:
        r"""Iterates likewise, over as many as are read together."""

        return self.chunks(TOGETHER if size is None else min(size, TOGETHER))

    def limits(self) -> tuple[float, float]:
        r"""Returns the least and the greatest value; each shard is read for them once."""

        for i, file in enumerate(self.files):
            if file not in self.known:
                ends = [part.aminmax() for part in self.select_shards([i]).blocks()]
                low, high = (torch.stack(each) for each in zip(*ends, strict=True))
                self.known[file] = float(low.min()), float(high.max())
        found = [self.known[file] for file in self.files]
        return min(low for low, _ in found), max(high for _, high in found)

    def first(self, n: int) -> Samples:
        r"""Reads the first n samples into memory, or all where there are fewer."""

        return self.gathered([(0, min(n, len(self)))])

    def spread(self, n: int) -> Samples:
        r"""Reads n samples at most that come from all over, and no more than 64 MiB of them.

        They are the first rows of some shards, as many of each as it has and all need.
        """

        n = min(n, len(self), max(1, BLOCK_BYTES // self.row_bytes))
        s = min(SPREAD, len(self.files))
        shards = [i * len(self.files) // s for i in range(s)]
        starts = list(itertools.accumulate(self.rows, initial=0))
        taken = fair([self.rows[i] for i in shards], n)
        return self.gathered(
            (starts[i], starts[i] + m) for i, m in zip(shards, taken, strict=True)
        )

    def select(self, index: Tensor) -> Samples:
        r"""Reads rows by their numbers, and opens each's shard for it."""

        return self.gathered((i, i + 1) for i in index.tolist())

    def gathered(self, spans: Iterable[tuple[int, int]]) -> Samples:
        r"""Reads rows of several spans into memory, from one number to another of each."""

        part = joined([part for span in spans for part in self.parts(*span)])
        return Samples(part.x, part.labels, columns=self.columns, classes=self.classes)

    def select_shards(self, index: Sequence[int]) -> "Shards":
        r"""Returns some of the shards, in the order of an index."""

        files, rows, sizes = zip(
            *((self.files[i], self.rows[i], self.sizes[i]) for i in index), strict=True
        )
        labels = self.labels
        if labels is not None:
            of_each = labels.split(self.rows)
            labels = torch.cat([of_each[i] for i in index])
        return dataclasses.replace(self, files=files, rows=rows, sizes=sizes, labels=labels)

    def with_labels(self) -> "Shards":
        r"""Reads all labels, and nothing else, and returns shards that know them.

        Raises:
            DataError: If one is no whole number.
        """

        if self.label is None or self.labels is not None:
            return self
        labels: list[Tensor] = []
        with hub.broken(f"The shards from {self.files[0]} on"):
            for rows in streamed(self.files).select_columns([self.label]).iter(TOGETHER):
                labels.append(self.labels_in(rows, TOGETHER * len(labels)))
        return dataclasses.replace(self, labels=torch.cat(labels))

    def reshape(self, shape: Sequence[int]) -> "Shards":
        r"""Returns the same values as samples of another shape."""

        return dataclasses.replace(self, shape=tuple(shape), flat=True)

    def hold_out(self, share: float, seed: int) -> tuple["Shards", "Shards"]:
        r"""Draws which shards are kept and which are held out, about a share of them.

        Raises:
            ValueError: If there are fewer than two shards.
        """

        s = len(self.files)
        if s < 2:
            raise ValueError(
                "Shards are held out as a whole, so there have to be 2 or more, but "
                f"{self.files[0]} is alone: write its rows as several, or hold none out "
                "(validation_size=0)."
            )
        order = torch.randperm(s, generator=stream(seed, "holdout")).tolist()
        n = min(s - 1, max(1, round(share * s)))
        return self.select_shards(sorted(order[n:])), self.select_shards(sorted(order[:n]))

    def parts(self, start: int, stop: int) -> Iterator[Part]:
        r"""Reads rows from one number to another, as they are stored, and opens no shard before.

        Arguments:
            start: The first row.
            stop: The row after the last.

        Raises:
            DataError: If a row can't be read, or is unlike the first ones.
        """

        ends = list(itertools.accumulate(self.rows))
        i = next((i for i, end in enumerate(ends) if end > start), len(ends))
        if start >= stop or i == len(ends):
            return
        at, skipped = start, start - (ends[i] - self.rows[i])
        self.check_unchanged(range(i, min(len(ends), 1 + bisect.bisect_left(ends, stop))))
        try:
            data = streamed(self.files[i:], self.features, self.label, picture=self.picture)
            for rows in data.skip(skipped).iter(TOGETHER):
                part = self.read(rows, at)
                yield part.taken(slice(stop - at))
                at += len(part.x)
                if at >= stop:
                    return
        except (DataError, MemoryError):
            raise
        except Exception as error:  # the library lets those of others pass
            raise DataError(
                f"From {self.place(at)} on it cannot be read ({type(error).__name__}: "
                f"{first_line(error)}): replace it by an intact one."
            ) from error
        raise DataError(f"The shards have to have {stop:,} rows, as counted, but have {at:,}.")

    def place(self, row: int) -> str:
        r"""Says where a row lies: its number in its shard, from 0."""

        ends = list(itertools.accumulate(self.rows))
        i = min(bisect.bisect_right(ends, row), len(ends) - 1)
        return f"row {row - ends[i] + self.rows[i]:,} of {self.files[i]}"

    def check_unchanged(self, which: Iterable[int]) -> None:
        r"""Refuses shards that are not as they were when their rows were counted.

        Raises:
            DataError: If one has another size, or is gone.
        """

        for i in which:
            file = self.files[i]
            now = file.stat().st_size if file.is_file() else None
            if now != self.sizes[i]:
                raise DataError(
                    f"{file} has to stay as it was when it was opened, {self.sizes[i]:,} bytes, "
                    f"but {'is gone' if now is None else f'has {now:,}'}."
                )

    def read(self, rows: Mapping[str, Any], at: int) -> Part:
        r"""Brings rows under the contract."""

        x = torch.from_numpy(self.pictures(rows, at) if self.picture else self.numbers(rows, at))
        if self.flat and x[0].numel() == math.prod(self.shape):
            x = x.reshape(-1, *self.shape)
        if self.shape and x.shape[1:] != self.shape:
            raise DataError(
                f"All samples must have one shape, got {self.shape} first and "
                f"{tuple(x.shape[1:])} from {self.place(at)} on."
            )
        self.check_finite(x, at)
        if self.labels is not None:
            return Part(x, self.labels[at : at + len(x)])
        return Part(x, None if self.label is None else self.labels_in(rows, at))

    def labels_in(self, rows: Mapping[str, Any], at: int) -> Tensor:
        r"""Returns the labels of rows, -1 for none."""

        column = cast(str, self.label)
        labels = np.array([np.nan if v is None else v for v in rows[column]])
        if labels.dtype.kind not in "iubf":
            raise DataError(f"The label column {column!r} has to hold whole numbers.")
        where = self.files[0].parent
        return torch.from_numpy(
            whole(where, column, labels.astype(float), lambda i: self.place(at + i))
        )

    def check_finite(self, x: Tensor, at: int) -> None:
        r"""Refuses NaN and infinity, and says where the first of them is.

        Raises:
            DataError: If a value is not finite.
        """

        if not x.dtype.is_floating_point or all(map(math.isfinite, x.aminmax())):
            return
        row, entry = (~torch.isfinite(x.reshape(len(x), -1))).nonzero()[0].tolist()
        named = self.columns is not None and len(self.columns) == x[0].numel()
        where = f"column {self.columns[entry]!r}" if self.columns and named else f"entry {entry}"
        raise DataError(
            f"The samples must be finite in float32, but {self.place(at + row)} holds NaN or "
            f"infinity, or nothing, in {where}: repair or remove it."
        )

    def pictures(self, rows: Mapping[str, Any], at: int) -> NDArray[np.uint8]:
        r"""Decodes images, gray ones with three channels where the first ones have them."""

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            found = [
                hub.decoded(item, self.framing or Framing()) for item in rows[self.features[0]]
            ]
        for i, image in enumerate(found):
            if isinstance(image, str):
                raise DataError(f"The image in {self.place(at + i)} cannot be read ({image}).")
        images = [image for image in found if not isinstance(image, str)]
        channels = self.shape[0] if self.shape else max(len(image) for image in images)
        shapes = {(max(channels, len(image)), *image.shape[1:]) for image in images}
        if len(shapes) > 1:
            a, b = sorted(shapes)[:2]
            raise DataError(
                f"All images must have one size, got {a} and {b} from {self.place(at)} on: give "
                "--image-size (image_size=...)."
            )
        return np.stack([np.broadcast_to(image, next(iter(shapes))) for image in images])

    def numbers(self, rows: Mapping[str, Any], at: int) -> NDArray[Any]:
        r"""Puts numbers beside each other; one column of arrays keeps its shape."""

        columns = [np.asarray(rows[name]) for name in self.features]
        for name, column in zip(self.features, columns, strict=True):
            if column.dtype.kind not in "uifb":
                raise DataError(
                    f"Column {name!r} has to hold numbers, as many in each row, but does not in "
                    f"one of the {len(column)} rows from {self.place(at)} on."
                )
        if len(columns) == 1 and columns[0].ndim > 1:  # the library makes int64 of bytes
            return columns[0].astype(np.uint8 if self.dtype == torch.uint8 else np.float32)
        flat = [column.reshape(len(column), -1) for column in columns]
        return np.concatenate(flat, axis=1).astype(np.float32)


Rows = Samples | Shards
r"""Samples, in memory or in shards."""


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

    def of_rank(self, rank: int, ranks: int) -> "ShardBatches":
        r"""Returns the batches of which a rank reads its own rows, from shards of its own."""

        alike = copy.copy(self)
        alike.rank, alike.ranks = rank, ranks
        return alike

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        r"""Iterates over the batches of an epoch.

        Arguments:
            epoch: The number of the epoch, from 0.
            start: The number of the batch to begin at; shards before it are not opened.
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


def fair(most: Sequence[int], n: int) -> list[int]:
    r"""Shares n out, as evenly as can be where each takes so many at most.

    Example:
        >>> fair([2, 9, 9], 12), fair([2, 1], 5)
        ([2, 5, 5], [2, 1])
    """

    taken = [0] * len(most)
    for left, i in enumerate(sorted(range(len(most)), key=most.__getitem__)):
        taken[i] = min(most[i], (n - sum(taken)) // (len(most) - left))
    return taken


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


def cut(
    parts: Iterator[Part], sizes: Iterator[int], empty: tuple[int, ...] = ()
) -> Iterator[Part]:
    r"""Cuts parts that come in some sizes into parts of others, the last one perhaps smaller."""

    rest: Part | None = None
    for size in sizes:
        taken: list[Part] = []
        while (left := size - sum(len(part.x) for part in taken)) > 0:
            if rest is None:
                # What was taken of the last one is a view, and would hold it beside the next.
                taken = [joined([part]) for part in taken]
                rest = next(parts, None)
                if rest is None:
                    break
            taken.append(rest.taken(slice(left)))
            rest = rest.taken(slice(left, None)) if len(rest.x) > left else None
        if size and not taken:
            return
        yield joined(taken) if size else Part(torch.zeros(0, *empty), NO_LABELS)


def joined(parts: Sequence[Part]) -> Part:
    r"""Joins rows, in memory of their own: a view would hold the whole that it is of."""

    labels = [part.labels for part in parts if part.labels is not None]
    return Part(torch.cat([part.x for part in parts]), torch.cat(labels) if labels else None)


# --- what there is


def shards_in(folder: Path) -> tuple[Path, ...]:
    r"""Lists the shards of a folder, all of one kind.

    Raises:
        ValueError: If there is no such folder.
        DataError: If there is no shard, or there are both kinds.
    """

    if not folder.is_dir():
        raise ValueError(f"source must be {PREFIX}FOLDER, but {folder} is no folder.")
    if "::" in str(folder.absolute()):
        raise ValueError(f"{folder} has '::' in its path, which the library takes for a link.")
    found = sorted(f for f in folder.iterdir() if f.suffix in FORMATS and f.name[0] != ".")
    kinds = {file.suffix for file in found}
    if len(kinds) != 1:
        raise DataError(
            f"{folder} must hold shards, .parquet or .tar files of one kind, got "
            f"{'both' if kinds else 'none'}."
        )
    strange = next((file for file in found if not file.is_file()), None)
    if strange is not None:
        raise DataError(f"{strange} has to be a file, but is a folder, a pipe or a device.")
    return tuple(file.absolute() for file in found)


def check_alike(files: Sequence[Path], names: Sequence[str]) -> None:
    r"""Refuses Parquet files that lack a column of the first, or have something else in it.

    Raises:
        DataError: With the file and the column.
    """

    from pyarrow import parquet, types

    def kind(of: Any) -> Any:  # noqa: ANN401 - a type of pyarrow
        number = types.is_integer(of) or types.is_floating(of) or types.is_boolean(of)
        return "number" if number else type(of)

    first: dict[str, Any] = {}
    for file in files:
        with reading(file):
            schema = parquet.read_schema(file)
        there = {name: kind(schema.field(name).type) for name in names if name in schema.names}
        first = first or there
        for name in names:
            if there.get(name) != first[name]:
                what = "another kind of column" if name in there else "no column"
                raise DataError(
                    f"Shards have to have the same columns, but {file} has {what} {name!r}, "
                    f"unlike {files[0].name}."
                )


def check_first(file: Path, names: Sequence[str]) -> None:
    r"""Refuses numbers whose differences float32 can't hold, as far as the first rows tell.

    Raises:
        DataError: With the column and its values.
    """

    from pyarrow import parquet, types

    with reading(file), parquet.ParquetFile(file) as opened:
        first = next(opened.iter_batches(TOGETHER, columns=list(names)))
    wide = [c for c in first if types.is_float64(c.type) or types.is_int64(c.type)]
    if wide and not any(column.null_count for column in wide):
        check_resolved(np.stack([c.to_numpy(zero_copy_only=False) for c in wide], 1), file.name)


def end_of(file: Path) -> str:
    r"""Returns a sum of the last bytes of a file."""

    with reading(file), open(file, "rb") as opened:
        opened.seek(max(0, file.stat().st_size - END_BYTES))
        return hashlib.sha256(opened.read()).hexdigest()


def count(file: Path) -> int:
    r"""Counts the rows of a shard: a Parquet file says it, of an archive the names are read."""

    hub.library()
    with reading(file):
        if file.suffix == ".parquet":
            from pyarrow import parquet  # comes with the library, half a second to import

            return int(parquet.read_metadata(file).num_rows)
        with open(file, "rb") as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
            members = [member for member in archive if member.isfile()]
            check_members(file, members)
            check_end(file, raw, members)
            keys = (key_of(member.name) for member in members)
            return sum(1 for key, _ in itertools.groupby(k for k in keys if k is not None))


def check_members(file: Path, members: Sequence[tarfile.TarInfo]) -> None:
    r"""Refuses what the library would take into memory to any size, whether it is wanted or not.

    Raises:
        DataError: With the member's name.
    """

    for member in members:
        suffix = member.name.rpartition(".")[2].lower()
        if suffix in UNPACKED or member.size > MEMBER_BYTES:
            raise DataError(
                f"{file} has to hold images, numbers and texts as they are, of at most "
                f"{MEMBER_BYTES >> 20} MiB each, but holds {member.name!r}: leave it out."
            )


def check_end(file: Path, raw: BinaryIO, members: Sequence[tarfile.TarInfo]) -> None:
    r"""Refuses an archive that ends without a block of zeros, for it was cut.

    Raises:
        DataError: If it was.
    """

    end = max((m.offset_data + -(-m.size // BLOCK) * BLOCK for m in members), default=0)
    raw.seek(end)
    following = raw.read(BLOCK)
    # A folder may come last; whatever does is followed by zeros.
    while following.strip(b"\0"):
        following = raw.read(BLOCK)
    if len(following) < BLOCK:
        raise DataError(f"{file} is cut short: replace it by the whole archive.")


def key_of(name: str) -> str | None:
    r"""Returns what the files of one sample share: their name up to the first point.

    Example:
        >>> key_of("a/0001.seg.png"), key_of("a/README")
        ('a/0001', None)
    """

    folder, slash, last = name.rpartition("/")
    stem, point, _ = last.partition(".")
    return f"{folder}{slash}{stem}" if point and stem and not last.startswith("__") else None


def streamed(
    files: Sequence[Path],
    features: Sequence[str] = (),
    label: str | None = None,
    *,
    picture: bool = False,
) -> Any:  # noqa: ANN401 - a data set of the library
    r"""Opens shards as one stream, of the columns that are wanted, images as they are stored."""

    lib, kind = hub.library(), FORMATS[files[0].suffix]
    names = [glob.escape(str(file)) for file in files]  # which the library takes for patterns
    with hub.untold():
        data = lib.load_dataset(kind, data_files=names, split="train", streaming=True)
    # Of a file Arrow reads ahead what it can, up to a GiB; of a group of rows no more than that.
    data = data.reshard() if kind == "parquet" else data
    if not features:
        return data
    data = data.select_columns([*features, *([] if label is None else [label])])
    if picture:
        return data.cast_column(features[0], lib.Image(decode=False))
    return data.with_format("numpy")


def label_of(features: Mapping[str, Any], columns: Sequence[str] | None) -> str | None:
    r"""Returns the only column of classes, or that of an archive's classes."""

    own = hub.own_label(features, columns)
    return "cls" if own is None and "cls" in features and "cls" not in (columns or ()) else own


def is_feature(features: Mapping[str, Any], name: str, columns: Sequence[str] | None) -> bool:
    r"""Tells whether a column holds numbers, and is no index that pandas wrote."""

    kept = columns is not None or not name.startswith(hub.INDEX)
    return kept and hub.is_numbers(features[name], columns is not None)

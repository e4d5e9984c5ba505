r"""Shards as samples that are read when they are asked for, and not kept."""

__all__ = ["BLOCK_BYTES", "NO_LABELS", "Part", "Rows", "Shards", "cut"]

import bisect
import dataclasses
import hashlib
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .. import hub
from ..columns import check_names, tell_left_out, whole
from ..data import DataError, Samples
from ..images import Framing
from ..seeding import stream
from .files import (
    TOGETHER,
    broken,
    check_alike,
    check_first,
    count,
    end_of,
    features_of,
    is_feature,
    is_table,
    label_of,
    shards_in,
    streamed,
)
from .source import PREFIX

BLOCK_BYTES = 2**26
r"""The bytes of rows that are held at once, at most."""

SPREAD = 16
r"""The shards that samples from all over come from, at most."""

NO_LABELS = torch.zeros(0, dtype=torch.int64)
r"""The labels of no rows, of which a rank has some batches."""


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
        found = features_of(files)
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
        check_alike(files, [*kept, *([label] if label else [])])
        if is_table(files[0]):
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
        with broken(f"One of the shards from {self.files[0]} on"):
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
        with broken(self.places(at)):
            data = streamed(self.files[i:], self.features, self.label, picture=self.picture)
            parts = iter(data.skip(skipped).iter(TOGETHER))
        while at < stop:
            with broken(self.places(at)):
                rows = next(parts, None)
            if rows is None:
                break
            part = self.read(rows, at)
            yield part.taken(slice(stop - at))
            at += len(part.x)
        if at >= stop:
            return
        raise DataError(f"The shards have to have {stop:,} rows, as counted, but have {at:,}.")

    def place(self, row: int) -> str:
        r"""Says where a row lies: its number in its shard, from 0."""

        ends = list(itertools.accumulate(self.rows))
        row = min(row, ends[-1] - 1)
        i = bisect.bisect_right(ends, row)
        return f"row {row - ends[i] + self.rows[i]:,} of {self.files[i]}"

    def places(self, row: int) -> str:
        r"""Says where the rows lie that are read together from one on."""

        return f"{self.place(row)}, or one up to {self.place(row + TOGETHER - 1)},"

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
            raise DataError(
                f"The label column {column!r} has to hold whole numbers, but does not in "
                f"{self.places(at)} for one."
            )
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

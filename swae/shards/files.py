r"""Files that are shards: which there are, whether they are whole and alike, and their stream.

What can be told before a row is read is told here: from names, ends, footers and the list of an
archive's members.
"""

__all__ = [
    "TOGETHER",
    "broken",
    "check_alike",
    "check_first",
    "count",
    "end_of",
    "features_of",
    "is_feature",
    "is_table",
    "label_of",
    "shards_in",
    "streamed",
]

import glob
import hashlib
import itertools
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .. import hub
from ..data import DataError
from ..reading import reading, unreadable
from ..resolution import lost_column
from .source import PREFIX

TOGETHER = 256
r"""The rows that are read at once."""

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


def shards_in(folder: Path) -> tuple[Path, ...]:
    r"""Lists the shards of a folder, all of one kind.

    Raises:
        ValueError: If there is no such folder.
        DataError: If there is no shard, or there are both kinds.
    """

    if not folder.is_dir():
        raise ValueError(f"source must be {PREFIX}FOLDER, but {folder} is no folder.")
    found = sorted(f for f in folder.iterdir() if f.suffix in FORMATS and f.name[0] != ".")
    for path in (folder.absolute(), *found):
        if "::" in str(path):
            raise ValueError(f"{path} has '::' in its path, which the library takes for a link.")
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
    r"""Refuses shards that lack what is wanted, or have another kind of it than the first.

    The library would cast each Parquet file to what the file has that it is asked for first, which
    differs from epoch to epoch: a half becomes true, and one class another.

    Arguments:
        files: The shards.
        names: The columns that are wanted, or the suffixes of an archive's files.

    Raises:
        DataError: With the file and the column.
    """

    found = fields_of(files[0])
    for file in files[1:]:
        other = fields_of(file)
        unlike = [
            *(f"no {name!r}" for name in names if name not in other),
            *(
                f"{name!r} as {other[name]} and not {found[name]}"
                for name in names
                if name in other and other[name] != found[name]
            ),
            *(f"{name!r} besides" for name in other if name not in found and is_table(file)),
        ]
        if unlike:
            raise DataError(
                f"Shards have to have the same columns, but {file} has {unlike[0]}, unlike "
                f"{files[0].name}: write them alike."
            )


def is_table(file: Path) -> bool:
    return file.suffix == ".parquet"


def fields_of(file: Path) -> dict[str, Any]:
    r"""Returns the columns of a Parquet file and their kinds, or an archive's suffixes."""

    if is_table(file):
        from pyarrow import parquet

        with reading(file):
            schema = parquet.read_schema(file)
        return dict(hub.library().Features.from_arrow_schema(schema))
    with reading(file), tarfile.open(file, "r:") as archive:
        names = [member.name for member in archive if member.isfile()]
    return {name.rpartition("/")[2].partition(".")[2]: None for name in names if key_of(name)}


def check_first(file: Path, names: Sequence[str]) -> None:
    r"""Refuses numbers whose differences float32 can't hold, as far as the first rows tell.

    Raises:
        DataError: With the column and its values.
    """

    from pyarrow import parquet, types

    with reading(file), parquet.ParquetFile(file) as opened:
        first = next(opened.iter_batches(TOGETHER, columns=list(names)))
    for name, column in zip(first.schema.names, first, strict=True):
        if column.null_count or not (types.is_float64(column.type) or types.is_int64(column.type)):
            continue
        values = column.to_numpy(zero_copy_only=False)
        if lost_column(values[:, None]) is not None:
            raise DataError(
                f"Column {name!r} of {file} varies only from {values.min():.17g} to "
                f"{values.max():.17g}, which float32, that models see, can't tell apart: subtract "
                "an offset first, or leave it out."
            )


def end_of(file: Path) -> str:
    r"""Returns a sum of the last bytes of a file."""

    with reading(file), open(file, "rb") as opened:
        opened.seek(max(0, file.stat().st_size - END_BYTES))
        return hashlib.sha256(opened.read()).hexdigest()


def count(file: Path) -> int:
    r"""Counts the rows of a shard: a Parquet file says it, of an archive the names are read."""

    hub.library()
    with reading(file):
        if is_table(file):
            from pyarrow import parquet  # comes with the library, half a second to import

            return int(parquet.read_metadata(file).num_rows)
        with open(file, "rb") as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
            members = archive.getmembers()
            check_end(file, raw, members)
            members = [member for member in members if member.isfile()]
            check_members(file, members)
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
    r"""Refuses an archive that does not end with some blocks of zeros, as all do.

    One that was cut ends before, behind a damaged header or in a second archive there is more,
    and where a copy was broken off there may be zeros without end.

    Raises:
        DataError: If it was.
    """

    ends = (m.offset_data + -(-m.size // BLOCK) * BLOCK * m.isfile() for m in members)
    raw.seek(max(ends, default=0))
    following = raw.read(2 * tarfile.RECORDSIZE + 1)
    whole = BLOCK <= len(following) <= 2 * tarfile.RECORDSIZE
    if not whole or following.strip(b"\0"):
        raise DataError(
            f"{file} is cut short or damaged, or more than one archive: after "
            f"{members[-1].name if members else 'nothing'!r} it does not end as one does; replace "
            "it by an intact one."
        )


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


def features_of(files: Sequence[Path]) -> Any:  # noqa: ANN401 - of the library
    r"""Returns the columns of shards and their kinds, as the library takes them from the first.

    Raises:
        DataError: If it can't.
    """

    with broken(str(files[0])):
        return streamed(files).features


@contextmanager
def broken(place: str) -> Iterator[None]:
    r"""Says where it is whatever goes wrong, for the library lets the errors of others pass."""

    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        if "invalid literal for int()" in str(error):
            raise DataError(
                f"{place} has to hold whole numbers in its files .cls, which are labels, but "
                f"holds {str(error).rpartition(': ')[2]}; call texts .txt."
            ) from error
        if "share the same prefix" in str(error):
            raise DataError(
                f"{place} has to hold the files of each sample next to each other, and of the "
                "first five samples the same kinds: write it in the order of their names (tar "
                "--sort=name)."
            ) from error
        raise unreadable(place, error) from error


def label_of(features: Mapping[str, Any], columns: Sequence[str] | None) -> str | None:
    r"""Returns the only column of classes, or that of an archive's classes."""

    own = hub.own_label(features, columns)
    return "cls" if own is None and "cls" in features and "cls" not in (columns or ()) else own


def is_feature(features: Mapping[str, Any], name: str, columns: Sequence[str] | None) -> bool:
    r"""Tells whether a column holds numbers, and is no index that pandas wrote."""

    kept = columns is not None or not name.startswith(hub.INDEX)
    return kept and hub.is_numbers(features[name], columns is not None)

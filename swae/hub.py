r"""Data sets of the library `datasets`: from the Hugging Face hub by name, or from a folder.

`datasets:OWNER/NAME` is on the hub, `datasets:OWNER/NAME:CONFIG` one of several that share a
name. `datasets:FOLDER`, which begins with `.`, `/` or `~` or is there, was written by
`save_to_disk`, or holds files that the library knows, as Parquet. What a sample is depends on
the columns:

| columns                                    | a sample                                         |
|--------------------------------------------|--------------------------------------------------|
| one of images                              | the image, as in a folder of them                |
| one of arrays, `Array2D` or `List`         | the array, of whichever shape                    |
| others of numbers, or of true and false    | a row of them, arrays flattened, `a[0]`, `a[1]`  |

The label is the column that is named, or the only `ClassLabel`. Which columns are left out is
said to the log. The split `test` is the data set's own, or its `validation` where there is none;
where neither is there, or no `train`, whoever reads it draws one.

The library runs no code of a data set from version 4 on, which is what is wanted at least.
"""

__all__ = ["PREFIX", "from_anywhere", "is_ours", "read"]

import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .columns import check_names, matrix, numbered, tell_left_out, whole
from .data import DataError, Samples
from .images import Framing, decode, decode_opened, judge, reason, stack
from .ingest import Progress
from .optional import optional
from .reading import first_line, samples_from

PREFIX = "datasets:"
TOGETHER = 256
r"""The images that are fetched at once."""

NUMBERS = ("int", "uint", "float", "bool")

INDEX = ("__index_level_", "Unnamed: ")
r"""How the name of a column begins that pandas wrote as an index: no data."""


def is_ours(source: str | Path) -> bool:
    r"""Tells whether a source is a data set of the library.

    Example:
        >>> is_ours("datasets:ylecun/mnist"), is_ours("mnist")
        (True, False)
    """

    return str(source).startswith(PREFIX)


def from_anywhere(source: str) -> str:
    r"""Returns a source such that it means the same from every folder.

    Example:
        >>> from_anywhere("datasets:ylecun/mnist"), from_anywhere("datasets:/data")
        ('datasets:ylecun/mnist', 'datasets:/data')
    """

    folder = folder_of(source)
    return source if folder is None else f"{PREFIX}{folder}"


def folder_of(source: str) -> Path | None:
    r"""Returns the folder that a source names; None if it is a name of the hub."""

    place = source.removeprefix(PREFIX)
    path = Path(place).expanduser()
    is_path = place[:1] in ("/", ".", "~") or os.path.exists(path)
    return path.absolute() if place and is_path else None


def read(
    source: str,
    split: Literal["train", "test"],
    *,
    framing: Framing | None = None,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Samples, bool]:
    r"""Reads a split of a data set.

    Arguments:
        source: The data set, with the prefix.
        split: The split.
        framing: What is cut out of images. If they are not resized, all must be of one size.
        label_column: The column that holds the labels. If :py:`None`, the only `ClassLabel`.
        columns: The columns that are features. If :py:`None`, the one of images, or all that hold
            numbers.
        progress: Called while images are decoded.

    Returns:
        The samples, and whether the data set has both splits; where not, they are all there are.

    Raises:
        ValueError: If the library is not installed, there is no such folder, or a column that is
            asked for is not there.
        DataError: If the data set cannot be read or brought under the contract.
    """

    framing = framing or Framing()
    framing.check()
    splits = open_splits(source)
    part, own = part_of(source, splits, split)
    data = splits[part]
    names = list(data.features)
    check_names(source, names, columns, label_column)
    label = label_column or own_label(data.features, columns)
    wanted = [name for name in columns or names if name != label]
    picture = picture_in(source, data.features, wanted, columns)
    if picture is None and framing != Framing():
        raise ValueError(f"image_size and crop must be left out: {source} holds no images.")

    with broken(source):
        labels, classes = (None, ()) if label is None else labels_of(source, splits, part, label)
        if picture is None:
            samples = numbers_of(source, data, wanted, labels, chosen=columns is not None)
        else:
            tell_left_out(source, [name for name in wanted if name != picture])
            samples = pictures_of(source, data, picture, labels, framing, progress)
    return dataclasses.replace(samples, classes=classes), own


# --- what there is


def library() -> Any:  # noqa: ANN401 - a module that is optional
    return optional("datasets", "hub", f"{PREFIX}... is read by the library")


@contextmanager
def untold() -> Iterator[None]:
    r"""Keeps the library from telling a server what is opened, as it does of local files too."""

    config = library().config
    before, config.HF_UPDATE_DOWNLOAD_COUNTS = config.HF_UPDATE_DOWNLOAD_COUNTS, False
    try:
        yield
    finally:
        config.HF_UPDATE_DOWNLOAD_COUNTS = before


@contextmanager
def broken(source: str) -> Iterator[None]:
    """Names the source in whatever goes wrong; the library lets other libraries' errors pass."""

    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{source} cannot be read ({type(error).__name__}: {first_line(error)}): check its "
            "name and the network, or its files."
        ) from error


def open_splits(source: str) -> dict[str, Any]:
    r"""Opens a data set, and returns its splits by their names."""

    lib, folder = library(), folder_of(source)
    if source == PREFIX:
        raise ValueError(f"source must be {PREFIX}FOLDER or {PREFIX}NAME, but nothing follows.")
    if folder is not None and not folder.is_dir():
        raise ValueError(
            f"source must be {PREFIX}FOLDER or {PREFIX}NAME, but {folder} is no folder."
        )
    with broken(source):
        if folder is None:
            name, _, config = source.removeprefix(PREFIX).partition(":")
            opened = lib.load_dataset(name, config or None)
        elif any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
            opened = lib.load_from_disk(str(folder))
        else:
            with untold():
                opened = lib.load_dataset(str(folder))
    return dict(opened) if isinstance(opened, dict) else {"train": opened}


def part_of(
    source: str, splits: Mapping[str, Any], split: Literal["train", "test"]
) -> tuple[str, bool]:
    r"""Returns the name of a split, and whether it is the data set's own."""

    test = next((name for name in ("test", "validation") if name in splits), None)
    if "train" in splits and test is not None:
        part, own = "train" if split == "train" else test, True
    elif "train" in splits or len(splits) == 1:
        part, own = "train" if "train" in splits else next(iter(splits)), False
    else:
        raise DataError(
            f"{source} must have a split 'train', or only one, got "
            f"{', '.join(map(repr, splits)) or 'none'}."
        )
    if not len(splits[part]):
        raise DataError(f"The split {part!r} of {source} must have a row, got none.")
    return part, own


def has_test(source: str) -> bool:
    r"""Tells whether a data set has both splits.

    Arguments:
        source: The source, `datasets:NAME` or `datasets:FOLDER`.

    Raises:
        ValueError: If the library is not installed or there is no such folder.
        DataError: If the data set cannot be read.
    """

    return part_of(source, open_splits(source), "test")[1]


def own_label(features: Mapping[str, Any], columns: Sequence[str] | None) -> str | None:
    r"""Returns the only column of classes, unless it is a feature."""

    kind = library().ClassLabel
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    return found[0] if len(found) == 1 and found[0] not in (columns or ()) else None


def picture_in(
    source: str,
    features: Mapping[str, Any],
    wanted: Sequence[str],
    columns: Sequence[str] | None,
) -> str | None:
    r"""Returns the column of images, if there is one."""

    found = [name for name in wanted if isinstance(features[name], library().Image)]
    if len(found) > 1:
        raise ValueError(
            f"columns must choose one of the columns of images of {source}: "
            f"{', '.join(map(repr, found))}."
        )
    if found and columns is not None and len(wanted) > 1:
        raise ValueError(f"columns must be {found[0]!r} alone, for it holds images.")
    return found[0] if found else None


# --- labels


def labels_of(
    source: str, splits: Mapping[str, Any], part: str, name: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    r"""Returns the labels of a split and their names; texts have one number in all splits."""

    feature = splits[part].features[name]
    kind = getattr(feature, "dtype", "")
    if "string" in kind:
        texts = {split: values_of(data, name) for split, data in splits.items()}
        known = sorted({text for values in texts.values() for text in values if text})
        return numbered(texts[part], known)
    if not kind.startswith(NUMBERS):
        raise DataError(
            f"In {source} the label column {name!r} has to hold whole numbers or text, but holds "
            f"{feature}."
        )
    labels = whole(source, name, scalars(splits[part], name), "row {}".format)
    return labels, tuple(getattr(feature, "names", None) or ())


def values_of(data: Any, name: str) -> list[Any]:  # noqa: ANN401 - a data set
    values: list[Any] = arrow(data, name).to_pylist()
    return values


def arrow(data: Any, name: str) -> Any:  # noqa: ANN401 - a data set, and a column of pyarrow
    return data.select_columns([name]).with_format("arrow")[:][name]


def scalars(data: Any, name: str) -> NDArray[np.float64]:  # noqa: ANN401 - a data set
    r"""Returns a column of numbers, NaN where there is none."""

    return np.array(arrow(data, name).cast("float64", safe=False).to_numpy(), dtype=np.float64)


# --- images


def pictures_of(
    source: str,
    data: Any,  # noqa: ANN401 - a data set
    name: str,
    labels: NDArray[np.int64] | None,
    framing: Framing,
    progress: Progress | None,
) -> Samples:
    r"""Decodes a column of images; a few that cannot be are left out, as of a folder."""

    encoded = data.select_columns([name]).cast_column(name, library().Image(decode=False))
    pixels: list[NDArray[np.uint8]] = []
    rows: list[int] = []
    rejected: list[tuple[str, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        items = (item for batch in encoded.iter(TOGETHER) for item in batch[name])
        for i, item in enumerate(items):
            result = decoded(item, framing)
            if isinstance(result, str):
                rejected.append((f"row {i}", result))
            else:
                pixels.append(result)
                rows.append(i)
            if progress is not None:
                progress(i + 1, len(data))
    judge(Path(source), rejected, len(data))
    x = stack(Path(source), [f"row {i}" for i in rows], pixels)
    return Samples(x, None if labels is None else torch.from_numpy(labels[rows]), tuple(rejected))


def decoded(item: Mapping[str, Any] | None, framing: Framing) -> NDArray[np.uint8] | str:
    """Decodes the bytes or the file of an image, or says why it cannot be."""

    if item is None:
        return "no image"
    try:
        if item["bytes"] is None:
            return decode(item["path"], framing)
        return decode_opened(BytesIO(item["bytes"]), framing)
    except MemoryError:
        raise
    except Exception as error:  # a decoder raises nearly anything
        return reason(error)


# --- numbers


def numbers_of(
    source: str,
    data: Any,  # noqa: ANN401 - a data set
    wanted: Sequence[str],
    labels: NDArray[np.int64] | None,
    *,
    chosen: bool,
) -> Samples:
    r"""Returns one column of arrays, or columns of numbers beside each other."""

    found = [name for name in wanted if is_numbers(data.features[name], chosen)]
    if not chosen:
        found = [name for name in found if not name.startswith(INDEX)]
    left = [name for name in wanted if name not in found]
    if chosen and left:
        raise DataError(f"In {source} the column {left[0]!r} has to hold numbers, but does not.")
    if not found:
        raise DataError(
            f"{source} has to hold a column of images or numbers, but holds none beside "
            f"{', '.join(map(repr, left)) or 'the labels'}."
        )
    tell_left_out(source, left)
    if len(found) == 1 and is_array(data.features[found[0]]):
        where = f"the column {found[0]!r} of {source}"
        return samples_from(where, arrays(source, data, found[0]), labels)

    columns = dict(item for name in found for item in flat(source, data, name))
    x = matrix(source, columns.items(), (len(data), len(columns)), "row {}".format)
    samples = samples_from(source, x, labels)
    return dataclasses.replace(samples, columns=tuple(columns))


def is_numbers(feature: Any, chosen: bool) -> bool:  # noqa: ANN401 - a feature
    r"""Tells whether a column holds numbers or arrays of them; classes only if it is chosen."""

    if isinstance(feature, library().ClassLabel):
        return chosen
    return str(getattr(entry_of(feature), "dtype", None)).startswith(NUMBERS)


def entry_of(feature: Any) -> Any:  # noqa: ANN401 - a feature
    r"""Returns what a list, or a list of lists, holds; else the feature itself."""

    while getattr(feature, "feature", None) is not None:
        feature = feature.feature
    return feature


def is_array(feature: Any) -> bool:  # noqa: ANN401 - a feature
    return not isinstance(feature, library().Value | library().ClassLabel)


def flat(source: str, data: Any, name: str) -> Iterator[tuple[str, NDArray[Any]]]:  # noqa: ANN401
    r"""Yields a column, or those of the entries of its arrays."""

    if not is_array(data.features[name]):
        yield name, scalars(data, name)
        return
    entries = arrays(source, data, name).reshape(len(data), -1)
    yield from ((f"{name}[{i}]", entries[:, i]) for i in range(entries.shape[1]))


def arrays(source: str, data: Any, name: str) -> NDArray[Any]:  # noqa: ANN401 - a data set
    r"""Returns a column of arrays, bytes as bytes."""

    values = np.asarray(data.select_columns([name]).with_format("numpy")[:][name])
    if values.dtype.kind not in "uifb" or values.ndim < 2:
        raise DataError(
            f"In {source} the column {name!r} has to hold arrays of one shape, none of them "
            "missing, but does not: bring them to one length."
        )
    # The library hands out bytes as whole numbers of 64 bits.
    entry = entry_of(data.features[name])
    return values.astype(np.uint8 if entry.dtype == "uint8" else np.float32)

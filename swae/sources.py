r"""Whatever a user names, a data set, a folder or a file, read into `Samples`.

Where a source has no test split of its own, one is drawn by the seed. What is wrong with a file
is said with its name: its content is never trusted, nothing in it is run, and a header does not
decide how much memory is taken.
"""

__all__ = [
    "NAMES",
    "SOURCES",
    "Split",
    "from_anywhere",
    "has_columns",
    "has_images",
    "has_test",
    "is_table",
    "load",
    "load_any",
]

import gzip
import math
import os
import struct
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, final, get_args

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from . import celeba, hub, images, shards, tables
from .cache import Progress, open_folder
from .data import DataError, Samples, as_samples, holdout
from .images import Framing
from .reading import check_members, reading, samples_from
from .shards import Rows
from .spelling import nearest, nearest_file

Split = Literal["train", "test", "all"]
r"""The names of the splits; all is of a source without a test split of its own."""

MAPPED_FROM = 2**26
r"""The bytes from which an array is mapped and not read, if it is of bytes or float32."""

HELD_OUT = 0.2
r"""The share of a source without a test split that is held out for one."""


def load(
    source: str | Path,
    split: Split = "train",
    *,
    data_dir: str | Path | None = None,
    seed: int = 0,
    image_size: int | None = None,
    crop: int | None = None,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Samples:
    r"""Reads a source.

    | source                     | what is read                                                |
    |----------------------------|-------------------------------------------------------------|
    | `"digits"`                 | scikit-learn's 8 x 8 digits                                 |
    | `"mnist"`                  | MNIST, from its IDX files, else from the Hugging Face hub   |
    | `"fashion-mnist"`          | Fashion-MNIST, likewise                                     |
    | `"celeba"`                 | CelebA's aligned faces, see :mod:`swae.celeba`              |
    | a folder                   | its images; at least two sub-folders are classes            |
    | a file `.npy`              | an array, :math:`(n, \dots)`                                |
    | a file `.npz`              | array `x`, labels `y`; `x_test`, `y_test` if there are any  |
    | `.csv`, `.tsv`, `.parquet` | a table, its columns of numbers, see :mod:`swae.tables`     |
    | `datasets:NAME`            | a data set of the Hugging Face hub, see :mod:`swae.hub`     |
    | `datasets:FOLDER`          | one in a folder                                             |

    Where a source has no test split of its own, one in five samples is held out, drawn by the
    seed; the split `all` is every sample, in the source's order. A folder has a test split if it
    has sub-folders `train` and `test`, an archive if it has `x_test`.
    The names win over files of the same name; write `./digits` for a folder. The label
    :math:`-1` means not labelled.

    Arguments:
        source: The name, folder or file.
        split: The split: train, test or all.
        data_dir: The folder where MNIST's IDX files lie, or CelebA's. If :py:`None`, the
            environment variable `SWAE_DATA` names it.
        seed: The seed of the held-out samples.
        image_size: The side to which the images of a folder, or CelebA's, are resized.
        crop: The side of the square that is cut out of their middle before.
        label_column: The column of a table or of a `datasets` data set that holds the labels.
        columns: The columns of it that are features. If :py:`None`, all that hold numbers.
        progress: Called while images are decoded into the cache, with their number and that of
            all.

    Raises:
        ValueError: If there is no such source, split or column, all is asked of a source with a
            test split of its own, or a library is not installed.
        DataError: If the source cannot be found, read, or brought under the contract.
        OSError: If the cache of a large folder (:mod:`swae.cache`) cannot be written.

    Example:
        >>> load("digits").x.shape
        torch.Size([1438, 1, 8, 8])
    """

    framing, named, path = Framing(image_size, crop), is_named(source), expanded(source)
    check_options(source, framing, label_column, columns)
    check_split(source, split)
    part: Literal["train", "test"] = "train" if split == "all" else split
    if named and has_images(source):
        root = root_of(data_dir)
        return celeba.read(part, root, image_size=image_size, crop=crop, progress=progress)
    if named:
        return SOURCES[str(source)](split, None if data_dir is None else Path(data_dir), seed)
    if shards.is_ours(source):
        raise ValueError(f"{source} is opened, and not read: load_any(source, ...) opens it.")
    if hub.is_ours(source):
        read, own = hub.read(
            str(source),
            part,
            framing=framing,
            label_column=label_column,
            columns=columns,
            progress=progress,
        )
        return read if own else drawn_part(read, split, seed)
    if os.path.isdir(path):
        return read_images(path, split, seed, framing, progress)
    if is_file(path, tables.SUFFIXES):
        read = tables.read(path, label_column=label_column, columns=columns)
        return drawn_part(read, split, seed)
    if is_file(path, READERS):
        return READERS[path.suffix.lower()](path, split, seed)
    raise no_such_source(source)


def load_any(
    source: str | Path,
    split: Split = "train",
    *,
    seed: int = 0,
    image_size: int | None = None,
    crop: int | None = None,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Rows:
    r"""Reads a source as :func:`load` does, or opens ``shards:FOLDER``, see :mod:`swae.shards`.

    Of a folder of shards without folders ``train`` and ``test`` one shard in five is held out.

    Example:
        >>> len(load_any("digits"))
        1438
    """

    if not shards.is_ours(source):
        return load(
            source,
            split,
            data_dir=data_dir,
            seed=seed,
            image_size=image_size,
            crop=crop,
            label_column=label_column,
            columns=columns,
            progress=progress,
        )
    check_split(source, split)
    return shards.load(
        str(source),
        split,
        share=HELD_OUT,
        seed=seed,
        image_size=image_size,
        crop=crop,
        label_column=label_column,
        columns=columns,
    )


def check_split(source: str | Path, split: Split) -> None:
    """Refuses what is no split, and all of a source that has two."""

    if split not in get_args(Split):
        raise ValueError(f"split must be 'train', 'test' or 'all', got {split!r}.")
    if split == "all" and has_test(source):
        raise ValueError(
            f"split must be 'train' or 'test' where a source has both, as {str(source)!r}, got "
            "'all': take one after the other."
        )


def check_options(
    source: str | Path, framing: Framing, label_column: str | None, columns: Sequence[str] | None
) -> None:
    """Refuses what a source has no use for."""

    options = {
        "image_size": (framing.image_size, has_images, "images"),
        "crop": (framing.crop, has_images, "images"),
        "label_column": (label_column, has_columns, "a table or datasets:..."),
        "columns": (columns, has_columns, "a table or datasets:..."),
    }
    for name, (value, fits, wanted) in options.items():
        if value is not None and not fits(source):
            raise ValueError(f"{name} must be left out unless source is {wanted}, got {source!r}.")


def is_named(source: str | Path) -> bool:
    """Tells whether a source is a name of ours, which wins over a file of the same name."""

    return str(source) in NAMES and not (isinstance(source, Path) and source.exists())


def has_images(source: str | Path) -> bool:
    r"""Tells whether a source is a folder of images, made of one, or a data set that may be."""

    if is_named(source):
        return str(source) == "celeba"
    return is_prefixed(source) or os.path.isdir(expanded(source))


def has_test(source: str | Path) -> bool:
    r"""Tells whether a source has a test split of its own.

    Raises:
        DataError: If it cannot be read.

    Example:
        >>> has_test("mnist"), has_test("digits")
        (True, False)
    """

    path = expanded(source)
    if is_named(source):
        return str(source) != "digits"
    if shards.is_ours(source):
        return shards.has_test(source)
    if hub.is_ours(source):
        return hub.has_test(str(source))
    if os.path.isdir(path):
        return has_parts(path)
    if not is_file(path, (".npz",)):
        return False
    with reading(path), zipfile.ZipFile(path) as archive:
        return "x_test.npy" in archive.namelist()


def has_parts(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("train", "test"))


def is_table(source: str | Path) -> bool:
    r"""Tells whether a source is a table, were it a file that is not there."""

    path = expanded(source)
    named = is_named(source) or is_prefixed(source) or os.path.isdir(path)
    return not named and path.suffix.lower() in tables.SUFFIXES


def has_columns(source: str | Path) -> bool:
    r"""Tells whether a source has columns with names."""

    return is_table(source) or is_prefixed(source)


def is_prefixed(source: str | Path) -> bool:
    r"""Tells whether a source says by its prefix how it is stored."""

    return hub.is_ours(source) or shards.is_ours(source)


def from_anywhere(source: str) -> str:
    r"""Returns a source such that it means the same from every folder.

    Example:
        >>> from_anywhere("digits"), from_anywhere("/data/a.csv")
        ('digits', '/data/a.csv')
    """

    if is_named(source):
        return source
    if shards.is_ours(source):
        return shards.from_anywhere(source)
    return hub.from_anywhere(source) if hub.is_ours(source) else str(expanded(source).absolute())


def expanded(source: str | Path) -> Path:
    return Path(source).expanduser()


def is_file(path: Path, suffixes: Collection[str]) -> bool:
    return os.path.isfile(path) and path.suffix.lower() in suffixes


def root_of(data_dir: str | Path | None) -> Path | None:
    """Returns where the files of named data sets lie."""

    root = data_dir or os.environ.get("SWAE_DATA")
    return Path(root).expanduser() if root else None


def no_such_source(source: str | Path) -> ValueError:
    state = "is no data that is known" if os.path.lexists(expanded(source)) else "does not exist"
    return ValueError(
        f"{source} {state}: source must be {', '.join(map(repr, NAMES))}, a folder of images, a "
        ".npy, .npz, .csv, .tsv or .parquet file, 'datasets:...' or 'shards:FOLDER'."
        + (nearest(source, NAMES) or nearest_file(source) or " Check the spelling.")
    )


def drawn_part(samples: Samples, split: Split, seed: int) -> Samples:
    """Takes one side of the split that is drawn where a source has none, or both."""

    if split == "all":
        return samples
    if len(samples) < 2:
        raise DataError("There must be at least 2 samples to hold one out for the test, got 1.")
    kept, held_out = holdout(len(samples), HELD_OUT, seed=seed)
    return samples.select(kept if split == "train" else held_out)


def read_images(
    path: Path, split: Split, seed: int, framing: Framing, progress: Progress | None
) -> Samples:
    own = has_parts(path)
    read = open_folder(path / split if own else path, framing, progress=progress)
    labels, names = images.classes(read.files)
    samples = Samples(read.x, labels, read.rejected, read.digest, classes=names)
    return samples if own else drawn_part(samples, split, seed)


def read_npy(path: Path, split: Split, seed: int) -> Samples:
    with reading(path):
        # Mapped first, because then a header that announces more than the file holds is refused.
        mapped = npy.open_memmap(path, mode="r")
    # A small one is read: it is faster, and the file may change.
    array = mapped if mapped.nbytes >= MAPPED_FROM else np.array(mapped)
    return drawn_part(samples_from(path, array, None), split, seed)


def read_npz(path: Path, split: Split, seed: int) -> Samples:
    with reading(path), zipfile.ZipFile(path) as archive:
        check_members(path, archive)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        own = "x_test" in names
        keys = ("x_test", "y_test") if own and split == "test" else array_names(path, names)
        x, y = (read_member(archive, key) if key in names else None for key in keys)
    samples = samples_from(path, x, y)
    return samples if own else drawn_part(samples, split, seed)


def array_names(path: Path, names: Sequence[str]) -> tuple[str, str]:
    """Chooses which arrays of an archive are the samples and their labels."""

    x = next((name for name in ("x", "X", "images", "x_train") if name in names), None)
    y = next((name for name in ("y", "labels", "y_train") if name in names), "y")
    if x is None and len(names) == 1:
        x = names[0]
    if x is None:
        raise DataError(
            f"{path} must hold an array 'x', 'X', 'images' or 'x_train', or only one, got "
            f"{', '.join(map(repr, names)) or 'none'}: save it with np.savez(path, x=X, y=labels)."
        )
    return x, y


def read_member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


def digits(split: Split, data_dir: Path | None, seed: int) -> Samples:
    from sklearn.datasets import load_digits  # a second to import, for this source alone

    pixels, labels = load_digits(return_X_y=True)
    x = np.rint(pixels.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return drawn_part(as_samples(x, labels), split, seed)


@final
@dataclass(frozen=True)
class Mnist:
    r"""A data set in the form of MNIST.

    Arguments:
        name: Our name, and that of its folder.
        torchvision: The folder that torchvision gives it.
        hub: Its name on the Hugging Face hub.
        package: Debian's list of the files of its package, if there is one.
    """

    name: str
    torchvision: str
    hub: str
    package: Path | None = None

    def read(self, split: Split, data_dir: Path | None, seed: int) -> Samples:
        found = self.find(split, data_dir)
        return self.download(split, data_dir) if found is None else read_mnist(*found)

    def folders(self, data_dir: Path | None) -> list[Path]:
        r"""Lists where to look, the data set's own folders first."""

        root = root_of(data_dir)
        below = (self.name, f"{self.name}/raw", f"{self.torchvision}/raw", "")
        folders = [] if root is None else [root / folder for folder in below]
        return folders + package_folders(self.package)

    def find(self, split: Split, data_dir: Path | None) -> tuple[Path, Path] | None:
        r"""Finds the files of the images and of the labels, in one folder."""

        for folder in self.folders(data_dir):
            x, y = (find_idx(folder, split, kind) for kind in ("images-idx3", "labels-idx1"))
            if x is not None and y is not None:
                return x, y
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

        x, y = (idx_names(split, kind)[0] for kind in ("images-idx3", "labels-idx1"))
        folders = ", ".join(map(str, self.folders(data_dir))) or "no folder, as none was given"
        return DataError(
            f"{self.name} was not found (looked in {folders}; the library `datasets` {reason}): "
            f"put {x} and {y} into a folder and name it with --data-dir (data_dir=...) "
            "or $SWAE_DATA, or `pip install 'swae[hub]'` to download them."
        )


def package_folders(package: Path | None) -> list[Path]:
    """Asks Debian's list of a package's files where it lies."""

    if package is None or not package.is_file():
        return []
    files = map(Path, package.read_text().splitlines())
    return sorted({file.parent for file in files if file.name.startswith("train-images")})


def idx_names(split: Split, kind: str) -> list[str]:
    """Lists the names that a file goes by, the original one first."""

    name = f"{'train' if split == 'train' else 't10k'}-{kind}-ubyte"
    return [
        f"{stem}{suffix}"
        for stem in (name, name.replace("-idx", ".idx"))  # some tools unpack to the latter
        for suffix in (".gz", "")
    ]


def find_idx(folder: Path, split: Split, kind: str) -> Path | None:
    paths = (folder / name for name in idx_names(split, kind))
    return next((path for path in paths if os.path.isfile(path)), None)


def read_mnist(images_path: Path, labels_path: Path) -> Samples:
    x, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if x.shape[1:] != (28, 28):
        raise DataError(f"{images_path} must hold images of 28 x 28, got {tuple(x.shape[1:])}.")
    if len(x) != len(labels):
        raise DataError(
            f"{images_path} holds {len(x)} images, but {labels_path} {len(labels)} labels: "
            "replace them by files that belong together."
        )
    return as_samples(x[:, None], labels)


def read_idx(path: Path, ndim: int) -> Tensor:
    """Reads bytes in IDX form, gzipped or not: magic 0, 0, 8, ndim; the sizes; the values."""

    with reading(path), open(path, "rb") as raw:
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
        values = read_at_most(file, math.prod(shape) + 1)
        if len(values) != math.prod(shape) or not values:
            more = "more" if len(values) > math.prod(shape) else f"{len(values)}"
            raise DataError(
                f"{path} announces {' x '.join(map(str, shape))} values, got {more}: replace it "
                "by the original."
            )
    return torch.frombuffer(values, dtype=torch.uint8).reshape(shape)


def read_at_most(file: gzip.GzipFile | BufferedReader, size: int) -> bytearray:
    """Reads by pieces, because a header may announce what no memory holds."""

    values = bytearray()
    while piece := file.read(min(size - len(values), 1 << 20)):
        values += piece
    return values


SOURCES: dict[str, Callable[[Split, Path | None, int], Samples]] = {
    "digits": digits,
    "mnist": Mnist("mnist", "MNIST", "ylecun/mnist").read,
    "fashion-mnist": Mnist(
        "fashion-mnist",
        "FashionMNIST",
        "zalando-datasets/fashion_mnist",
        Path("/var/lib/dpkg/info/dataset-fashion-mnist.list"),
    ).read,
}
NAMES = (*SOURCES, "celeba")
r"""The names of all data sets."""

READERS: dict[str, Callable[[Path, Split, int], Samples]] = {".npy": read_npy, ".npz": read_npz}

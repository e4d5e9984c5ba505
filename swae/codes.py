r"""Codes that lie in a file: ``.npy``, ``.npz`` with an array ``x``, or ``.csv``."""

__all__ = ["read_codes"]

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from .data import DataError
from .reading import check_members, reading, utf8
from .spelling import nearest_file

SUFFIXES = (".npy", ".npz", ".csv")
r"""The suffixes of codes."""


def read_codes(path: Path) -> np.ndarray[Any, Any]:
    r"""Reads codes that ``encode`` wrote, or others of the same kind.

    Raises:
        ValueError: If there is no such file, or its name ends otherwise.
        DataError: If it holds no codes.
    """

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} has to end in .npy, .npz or .csv, as codes do.")
    if not path.is_file():
        raise ValueError(f"There is no file {path}.{nearest_file(path)}")
    with reading(path):
        codes = read_table(path) if suffix == ".csv" else read_array(path, suffix)
    if codes.ndim != 2 or codes.size == 0 or codes.dtype.kind not in "uif":
        raise DataError(
            f"{path} has to hold codes as numbers, (n, d), but holds {codes.dtype} of shape "
            f"{codes.shape}."
        )
    if not np.isfinite(codes).all():
        row = int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])
        raise DataError(f"In {path} row {row} holds NaN, infinity or what is no number.")
    return codes


def read_array(path: Path, suffix: str) -> np.ndarray[Any, Any]:
    with path.open("rb") as file:
        start = file.read(6)
    # Another file is refused here: NumPy would take it for a pickle, and advise to run it.
    if start != npy.MAGIC_PREFIX and not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no {suffix} file that NumPy wrote.")
    if start != npy.MAGIC_PREFIX:
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive)
    try:
        content = np.load(path, allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(f"{path} has to hold codes as numbers, but holds objects.") from None
    if not hasattr(content, "files"):
        array: np.ndarray[Any, Any] = content
        return array
    if "x" not in content.files:
        held = ", ".join(content.files) or "nothing"
        raise DataError(f"{path} has to hold an array x, but holds {held}.")
    try:
        member: np.ndarray[Any, Any] = content["x"]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(f"{path} has to hold codes as numbers, but holds objects.") from None
    return member


def read_table(path: Path) -> np.ndarray[Any, Any]:
    r"""Reads the columns of numbers but for ``label``; the line of their names may be missing."""

    with utf8(path), path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    names = [name.strip() for name in next(csv.reader(text.splitlines()), [])]
    named = not all(map(is_number, names))
    if not any(line.strip() for line in text.splitlines()[int(named) :]):
        raise DataError(f"{path} holds no codes.")
    table = np.genfromtxt(path, delimiter=",", skip_header=int(named), ndmin=2)
    keep = [i for i in range(table.shape[1]) if names[i : i + 1] != ["label"]]
    columns: np.ndarray[Any, Any] = table[:, keep]
    return columns


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

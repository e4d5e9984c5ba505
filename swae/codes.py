r"""Codes that lie in a file: ``.npy``, ``.npz`` with an array ``x``, or ``.csv``."""

__all__ = ["read_codes"]

import csv
from pathlib import Path
from typing import Any

import numpy as np

from .data import DataError
from .reading import reading


def read_codes(path: Path) -> np.ndarray[Any, Any]:
    r"""Reads codes that ``encode`` wrote, or others of the same kind."""

    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    with reading(path):
        codes = read_table(path) if path.suffix == ".csv" else read_array(path)
    if codes.ndim != 2 or codes.size == 0 or codes.dtype.kind not in "uif":
        raise DataError(
            f"{path} has to hold codes as numbers, (n, d), but holds {codes.dtype} of shape "
            f"{codes.shape}."
        )
    if not np.isfinite(codes).all():
        row = int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])
        raise DataError(f"In {path} row {row} holds NaN, infinity or what is no number.")
    return codes


def read_array(path: Path) -> np.ndarray[Any, Any]:
    content = np.load(path, allow_pickle=False)
    if not hasattr(content, "files"):
        array: np.ndarray[Any, Any] = content
        return array
    if "x" not in content.files:
        held = ", ".join(content.files) or "nothing"
        raise DataError(f"{path} has to hold an array x, but holds {held}.")
    member: np.ndarray[Any, Any] = content["x"]
    return member


def read_table(path: Path) -> np.ndarray[Any, Any]:
    r"""Reads the columns of numbers but for ``label``; the line of their names may be missing."""

    with path.open() as file:
        names = [name.strip() for name in next(csv.reader(file), [])]
    named = not all(map(is_number, names))
    if not any(line.strip() for line in path.read_text().splitlines()[int(named) :]):
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

r"""Arrays to and from the files that a user names, told apart by their suffix."""

__all__ = ["packed", "read_codes", "write_result"]

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import plotting
from ..checkpoint import write_file
from ..data import DataError
from ..reading import reading


def write_result(
    target: Path,
    result: np.ndarray[Any, Any],
    draw: Callable[[Any], Any] | None = None,
    labels: np.ndarray[Any, Any] | None = None,
    names: Sequence[str] | None = None,
    **more: np.ndarray[Any, Any],
) -> None:
    r"""Writes an array or its picture, by the suffix of the file; more arrays to an .npz.

    A .csv begins with the names of the columns, ``x0``, ``x1``, ... where they have none.
    """

    if draw is not None and target.suffix in (".png", ".svg"):
        plotting.save(draw(result), target)
    else:
        write_file(target, packed(result, labels, target.suffix, more, names))
    print(target)


def packed(
    result: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any] | None,
    suffix: str,
    more: Mapping[str, np.ndarray[Any, Any]],
    names: Sequence[str] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    match suffix:
        case ".npy":
            np.save(buffer, result)
        case ".npz":
            arrays: dict[str, Any] = {"x": result, "y": labels, **more}
            np.savez(buffer, **{k: a for k, a in arrays.items() if a is not None})
        case _:
            columns = [result.reshape(len(result), -1)]
            header = column_names(columns[0].shape[1], names)
            if labels is not None:
                columns.append(labels[:, None])
                header.append("label")
            np.savetxt(
                buffer,
                np.hstack(columns),
                delimiter=",",
                header=in_csv(header),
                comments="",
                fmt="%.9g",  # what float32 needs to come back as it was
                encoding="utf-8",
            )
    return buffer.getvalue()


def column_names(n: int, names: Sequence[str] | None) -> list[str]:
    r"""Returns a name for each of n columns; those of another number of columns are none."""

    if names is None or len(names) != n:
        return [f"x{i}" for i in range(n)]
    return list(names)


def in_csv(words: Sequence[str]) -> str:
    r"""Returns a line of CSV, with quotes around what needs them."""

    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(words)
    return line.getvalue()


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

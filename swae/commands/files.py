r"""Arrays to and from the files that a user names, told apart by their suffix."""

__all__ = ["packed", "write_result"]

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import plotting
from ..writing import write_file


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

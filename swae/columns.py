r"""Columns with names, the features :math:`x` and the labels of samples.

A source whose rows are samples has columns :math:`a_1, \dots, a_k` with names. Those of numbers
are the features, in their order, those that are chosen in the order of the choice,

.. math:: x_{ij} = a_{c_j, i} \in \mathbb{R} , \qquad i = 1, \dots, n ,

each of them finite: what is missing is refused with the column's name. One column may be the
label. Its whole numbers are taken as they are, and texts :math:`t_1 < t_2 < \dots` are numbered
:math:`0, 1, \dots` in their sorted order. A label that is missing is :math:`-1`, not labelled.
"""

__all__ = [
    "UNLABELLED",
    "Place",
    "check_names",
    "matrix",
    "numbered",
    "split_names",
    "tell_left_out",
    "whole",
]

import csv
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import DataError
from .reading import tell
from .resolution import lost_column
from .spelling import nearest

UNLABELLED = -1
r"""The label of a sample that has none."""

Place = Callable[[int], str]
r"""What says where row i is, as "line 7"."""


def split_names(text: str) -> list[str]:
    r"""Splits names at commas; one that holds a comma stands in quotes.

    Raises:
        ValueError: If a name is empty.

    Example:
        >>> split_names('age,"height, cm"')
        ['age', 'height, cm']
    """

    (names,) = csv.reader([text.strip()], skipinitialspace=True) if text.strip() else [[]]
    names = [name.strip() for name in names]
    if not names or not all(names):
        raise ValueError(f"--columns has to be names, as 'age,height', but is {text!r}.")
    return names


def check_names(
    where: object, there: Sequence[str], columns: Sequence[str] | None, label: str | None
) -> None:
    r"""Refuses columns that are not there, chosen twice, or both feature and label.

    Arguments:
        where: The source.
        there: The names that it has.
        columns: The features that are asked for. If :py:`None`, nobody asked.
        label: The label that is asked for, if any.

    Raises:
        ValueError: If a choice cannot be met.

    Example:
        >>> check_names("a.csv", ["age", "sex"], ["age"], "sexe")
        Traceback (most recent call last):
            ...
        ValueError: label_column must be a column of a.csv ('age', 'sex'), got 'sexe'. Did you
        mean 'sex'?
    """

    asked = [("columns", name) for name in columns or ()]
    asked += [] if label is None else [("label_column", label)]
    for argument, name in asked:
        if name not in there:
            raise ValueError(no_such_column(where, there, argument, name))
    if columns is None:
        return
    if not columns:
        raise ValueError("columns must name at least one column, got none.")
    for name in columns:
        if columns.count(name) > 1:
            raise ValueError(f"columns must name each column once, got {name!r} twice.")
    if label in columns:
        raise ValueError(f"columns must leave out the label column, got {label!r}.")


def no_such_column(where: object, there: Sequence[str], argument: str, name: str) -> str:
    some = ", ".join(map(repr, there[:8])) + (", ..." if len(there) > 8 else "")
    wanted = "a column" if argument == "label_column" else "columns"
    hint = nearest(name, there)
    return f"{argument} must be {wanted} of {where} ({some}), got {name!r}.{hint}"


def matrix(
    where: object,
    columns: Iterable[tuple[str, NDArray[Any]]],
    shape: tuple[int, int],
    place: Place,
) -> NDArray[np.float32]:
    r"""Puts columns of numbers beside each other.

    Arguments:
        where: The source.
        columns: The name and the values of each, :math:`(n,)`; what is missing is NaN.
        shape: The number of rows and of columns.
        place: What says where a row is.

    Returns:
        The features, :math:`(n, d)`.

    Raises:
        DataError: If a value is missing, not finite, or too large for float32.

    Example:
        >>> matrix("a.csv", [("age", np.array([4.0, np.nan]))], (2, 1), "row {}".format)
        Traceback (most recent call last):
            ...
        swae.images.DataError: In a.csv the column 'age' has to hold a finite number in each row,
        but holds none in row 1 (1 such of 2): fill or remove such rows, or choose other columns
        with --columns (columns=...).
    """

    x = np.empty(shape, dtype=np.float32)
    for j, (name, values) in enumerate(columns):
        with np.errstate(over="ignore"):  # what overflows is refused as infinite
            x[:, j] = values
        bad = np.flatnonzero(~np.isfinite(x[:, j]))
        if len(bad):
            what = "none" if np.isnan(x[bad[0], j]) else "infinity or one too large for float32"
            raise DataError(
                f"In {where} the column {name!r} has to hold a finite number in each row, but "
                f"holds {what} in {place(int(bad[0]))} ({len(bad):,} such of {len(x):,}): fill or "
                "remove such rows, or choose other columns with --columns (columns=...)."
            )
        if lost_column(values[:, None]) is not None:  # told only, for the rows may be some of many
            tell(
                f"In {where} the column {name!r} varies by so little that float32, that models "
                "see, can't tell: subtract an offset first, or choose other columns."
            )
    return x


def tell_left_out(where: object, left: Sequence[str]) -> None:
    r"""Says to the log which columns are no features.

    Arguments:
        where: The source.
        left: Their names, of which one may be empty: pandas writes the index so.
    """

    if left:
        some = ", ".join(repr(name) if name else "one without a name" for name in left)
        tell(f"These columns of {where} are left out: {some}.")


def whole(where: object, name: str, values: NDArray[Any], place: Place) -> NDArray[np.int64]:
    r"""Returns labels that are numbers, those that are NaN as not labelled.

    Arguments:
        where: The source.
        name: The name of the column.
        values: Its values, :math:`(n,)`.
        place: What says where a row is.

    Raises:
        DataError: If one is no whole number.

    Example:
        >>> whole("a.csv", "class", np.array([3.0, np.nan]), "row {}".format)
        array([ 3, -1])
    """

    if values.dtype.kind != "f":
        return values.astype(np.int64)
    values = np.where(np.isnan(values), UNLABELLED, values)
    bad = np.flatnonzero(~((values == np.rint(values)) & (np.abs(values) < 2.0**53)))
    if len(bad):
        raise DataError(
            f"In {where} the label column {name!r} has to hold whole numbers or text, but holds "
            f"{values[bad[0]]:g} in {place(int(bad[0]))}."
        )
    return values.astype(np.int64)


def numbered(
    values: Sequence[str | None], classes: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    r"""Numbers labels that are text; one that is missing or empty is not labelled.

    Arguments:
        values: The texts.
        classes: The texts that there are, sorted. If :py:`None`, those of the values.

    Returns:
        The labels and the texts that they stand for.

    Example:
        >>> numbered(["dog", "cat", None])
        (array([ 1,  0, -1]), ('cat', 'dog'))
    """

    known = tuple(sorted({text for text in values if text}) if classes is None else classes)
    number = {text: i for i, text in enumerate(known)}
    labels = [UNLABELLED if not text else number[text] for text in values]
    return np.array(labels, dtype=np.int64), known

r"""Tables, one sample a row: CSV, TSV and Parquet.

Columns of numbers and of true and false are features, a column that is named is the label, see
:mod:`swae.columns`. Other columns, of text or dates, are left out, and so is one without a name,
as pandas writes the index; which ones is said to the log.

* **Text** is UTF-8. What separates the columns is the comma, semicolon or tab that is most often
  in the first line, which holds their names. If it holds numbers alone, it is the first sample,
  and the columns are `x0`, `x1`, ... A column of which most fields are numbers is one of numbers:
  another word in it is refused rather than the column left out. Lines are counted from 1.
* **Parquet** has types of its own: a number that is stored as text is text. Rows are counted
  from 0.

A table is read into memory as a whole. One that announces more rows than memory could hold is
refused before they are read.
"""

__all__ = ["SUFFIXES", "read"]

import codecs
import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from .columns import Place, check_names, matrix, numbered, tell_left_out, whole
from .data import DataError, Samples
from .optional import optional
from .reading import first_line, reading, tell, utf8

SUFFIXES = (".csv", ".tsv", ".parquet")
r"""The suffixes of tables."""

SEPARATORS = ",;\t"

COMMA = r"[-+]?\d+,\d+"
r"""A number with a decimal comma."""

MOSTLY = 0.5
r"""The share of numbers from which on a column of words was meant to be one of numbers."""


@final
@dataclass(frozen=True)
class Table:
    r"""A table as a file holds it.

    Arguments:
        path: The file.
        names: The names of the columns; one may be empty.
        frame: The columns, named by their number, those of a text file as text.
        place: What says where a row is.
    """

    path: Path
    names: tuple[str, ...]
    frame: Any
    place: Place

    def column(self, name: str) -> Any:  # noqa: ANN401 - a series of polars, which is optional
        return self.frame.get_columns()[self.names.index(name)]


def read(
    path: Path, *, label_column: str | None = None, columns: Sequence[str] | None = None
) -> Samples:
    r"""Reads a table.

    Arguments:
        path: The file, whose suffix says what it is.
        label_column: The column that holds the labels. If :py:`None`, there are none.
        columns: The columns that are features. If :py:`None`, all that hold numbers.

    Returns:
        The rows, float32, :math:`(n, d)`, with the names of their columns and classes.

    Raises:
        ValueError: If polars is not installed, or a column that is asked for is not there.
        DataError: If the file cannot be read, a name is there twice, a feature is missing or not
            finite, or nothing is left.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.csv")
        ...     _ = path.write_text("height,kind,width\n1,cat,2\n3,,4\n")
        ...     samples = read(path, label_column="kind")
        >>> samples.x.tolist(), samples.columns
        ([[1.0, 2.0], [3.0, 4.0]], ('height', 'width'))
        >>> samples.labels.tolist(), samples.classes
        ([0, -1], ('cat',))
    """

    library()
    with reading(path), panics(path), utf8(path):
        table = read_parquet(path) if path.suffix.lower() == ".parquet" else read_text(path)
    check_table(table)
    check_names(path, [name for name in table.names if name], columns, label_column)
    features = features_of(table, columns, label_column)
    x = matrix(path, features.items(), (len(table.frame), len(features)), table.place)
    labels, classes = (None, ()) if label_column is None else labels_of(table, label_column)
    return Samples(
        torch.from_numpy(x),
        None if labels is None else torch.from_numpy(labels),
        columns=tuple(features),
        classes=classes,
    )


def library() -> Any:  # noqa: ANN401 - a module that is optional
    return optional("polars", "tables", "Tables are read by")


@contextmanager
def panics(path: Path) -> Iterator[None]:
    """Makes an error of a panic of polars, which is no Exception."""

    try:
        yield
    except library().exceptions.PanicException as panic:
        raise DataError(
            f"{path} cannot be read ({first_line(panic)}): replace it by an intact one."
        ) from panic


def check_table(table: Table) -> None:
    """Refuses a table without rows, or with two columns of a name."""

    if not len(table.frame):
        raise DataError(
            f"{table.path} has to hold a row below the names of columns, but has none."
        )
    for name in table.names:
        if name and table.names.count(name) > 1:
            raise DataError(
                f"{table.path} has to name each column once, but names {name!r} twice: rename one."
            )


# --- files


def read_text(path: Path) -> Table:
    r"""Reads fields as text, each column named by its number."""

    polars, content = library(), path.read_bytes().removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    separator = separator_of(path, content)
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    rows = csv.reader(lines, delimiter=separator)
    first = [name.strip() for name in next(rows, [])]
    if not first:
        what = "begins with an empty line" if content else "is empty"
        raise DataError(f"{path} has to begin with the names of columns, but {what}.")
    bare = all(map(is_number, first))
    names = tuple(f"x{i}" for i in range(len(first))) if bare else tuple(first)
    if bare:
        tell(f"{path} has no line of names: its columns are x0 to x{len(names) - 1}.")
    start = 0 if bare else after_lines(content, rows.line_num)
    numbers = separator.join(map(str, range(len(names))))
    try:
        frame = polars.read_csv(
            b"".join((numbers.encode(), b"\n", memoryview(content)[start:])),
            separator=separator,
            schema={str(i): polars.String for i in range(len(names))},
        )
    except polars.exceptions.ComputeError:
        check_fields(path, rows, len(names))
        raise
    return Table(path, names, frame, place_in(content, len(frame), int(not bare)))


def separator_of(path: Path, content: bytes) -> str:
    """Returns what separates columns in the first line."""

    line = content.partition(b"\n")[0].decode("utf-8", "replace").strip()
    if ";" in line and all(re.fullmatch(COMMA, field.strip()) for field in line.split(";")):
        return ";"
    return "\t" if path.suffix.lower() == ".tsv" else max(SEPARATORS, key=line.count)


def after_lines(content: bytes, number: int) -> int:
    """Returns where so many lines end."""

    start = 0
    for _ in range(number):
        start = content.find(b"\n", start) + 1 or len(content)
    return start


def check_fields(path: Path, rows: Any, width: int) -> None:  # noqa: ANN401 - what csv.reader gives
    """Finds the line that has more fields than there are names."""

    for fields in rows:
        if len(fields) > width:
            raise DataError(
                f"{path} has to have {width} fields in each line, as in the first, but has "
                f"{len(fields)} in line {rows.line_num}."
            )


def place_in(content: bytes, n: int, above: int) -> Place:
    """Says where a row is: its line, or its number if some fields go over several lines."""

    if content.count(b"\n") + 1 == n + above:
        return lambda i: f"line {i + above + 1}"
    return lambda i: f"row {i}"


def read_parquet(path: Path) -> Table:
    r"""Reads a Parquet file, if the rows that it announces fit into memory."""

    polars = library()
    with path.open("rb") as file:
        names = tuple(polars.read_parquet_schema(file))
        file.seek(0)
        n = polars.scan_parquet(file).select(polars.len()).collect().item()
        check_readable(path)
        if n * len(names) * 8 > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
            raise DataError(
                f"{path} announces {n:,} rows of {len(names)} columns, more than the memory holds."
            )
        file.seek(0)
        frame = polars.read_parquet(file)
    shown = tuple("" if name.startswith("__index_level_") else name for name in names)
    return Table(path, shown, frame, "row {}".format)


PROBE = """
import os, resource, sys
size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (size, size))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import polars
with open(sys.argv[1], "rb") as file:
    polars.read_parquet(file)
"""
r"""What reads a Parquet file and throws it away."""


def check_readable(path: Path) -> None:
    r"""Lets another process read a Parquet file first.

    polars ends the process, this one, where a page announces more than there is memory, and fills
    the screen where one is damaged. Here that is an error.
    """

    words = [sys.executable, "-P", "-c", PROBE, str(path)]  # -P: nothing of the current folder
    env = {**os.environ, "RUST_BACKTRACE": "0"}
    probe = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=env)
    if probe.returncode != 0:
        said = probe.stderr.decode("utf-8", "replace").strip()
        lines = said.splitlines() or [f"its reader ended with {probe.returncode}"]
        why = next((line for line in reversed(lines) if "memory allocation" in line), lines[-1])
        raise DataError(f"{path} cannot be read ({why}): replace it by an intact one.")


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


# --- columns


def features_of(
    table: Table, columns: Sequence[str] | None, label: str | None
) -> dict[str, NDArray[Any]]:
    r"""Returns the columns of numbers, and says which are none."""

    wanted = table.names if columns is None else columns
    found: dict[str, NDArray[Any]] = {}
    left: list[str] = []
    for name in wanted:
        values = numbers_of(table, name) if name and name != label else None
        if values is not None:
            found[name] = values
        elif name != label:
            left.append(name)
    if columns is not None and left:
        raise DataError(
            f"In {table.path} the column {left[0]!r} has to hold numbers, but does not."
        )
    if not found:
        raise DataError(
            f"{table.path} has to hold a column of numbers, but holds none beside "
            f"{', '.join(map(repr, left)) or 'the labels'}."
        )
    tell_left_out(table.path, left)
    return found


def numbers_of(table: Table, name: str) -> NDArray[Any] | None:
    r"""Returns a column as numbers, NaN where there is none; None if it is of another kind."""

    polars, column = library(), table.column(name)
    if column.dtype == polars.String and table.path.suffix.lower() != ".parquet":
        return numbers_in_words(table, name)
    if column.dtype.is_numeric() or column.dtype == polars.Boolean:
        return as_float(column)
    return None


def numbers_in_words(table: Table, name: str) -> NDArray[Any] | None:
    r"""Returns a column of words as numbers, if they all are, and refuses it if most are."""

    polars = library()
    words = table.column(name).str.strip_chars()
    given = words.is_not_null() & (words != "")
    lower = words.str.to_lowercase()
    if given.any() and lower.filter(given).is_in(["true", "false"]).all():
        return as_float(lower == "true")
    numbers = words.cast(polars.Float64, strict=False)
    strange = given & numbers.is_null()
    commas = strange & words.str.contains(f"^{COMMA}$")
    if commas.any() and (commas == strange).all():
        row = commas.arg_max()
        raise DataError(
            f"In {table.path} the column {name!r} holds {words[row]!r} in {table.place(row)}, "
            "with a decimal comma: write numbers with a point, or choose other columns with "
            "--columns (columns=...)."
        )
    if strange.sum() > (1 - MOSTLY) * given.sum():
        return None
    if strange.any():
        row = strange.arg_max()
        raise DataError(
            f"In {table.path} the column {name!r} has to hold numbers, but holds {words[row]!r} "
            f"in {table.place(row)}: mend or remove such rows, or choose other columns with "
            "--columns (columns=...)."
        )
    return as_float(numbers)


def as_float(column: Any) -> NDArray[Any]:  # noqa: ANN401 - a series
    r"""Returns the values, NaN where there is none."""

    return column.cast(library().Float64).fill_null(float("nan")).to_numpy()


def labels_of(table: Table, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    r"""Returns the labels and, if they are text, the classes that they stand for."""

    polars, column = library(), table.column(name)
    if column.dtype in (polars.String, polars.Categorical, polars.Enum):
        column = column.cast(polars.String).str.strip_chars()
        numbers = column.cast(polars.Float64, strict=False)
        if table.path.suffix.lower() == ".parquet" or not all_numbers(column, numbers):
            return numbered(column.to_list())
        column = numbers
    if not (column.dtype.is_numeric() or column.dtype == polars.Boolean):
        raise DataError(
            f"In {table.path} the label column {name!r} has to hold whole numbers or text, but "
            f"holds {column.dtype}."
        )
    return whole(table.path, name, as_float(column), table.place), ()


def all_numbers(words: Any, numbers: Any) -> bool:  # noqa: ANN401 - series
    return bool((numbers.is_not_null() | words.is_null() | (words == "")).all())
